// Opens cameras, microphones and screens. If that fails, the error has a `code` that says why.

import { RequestError } from '../player/problem';

export interface DeviceChoice {
  /** `false` means none. A string is the id of a device. */
  audio: boolean | string;
  video: boolean | string;
}

/**
 * Returns constraints for 720p30 and for the browser's echo cancellation, noise suppression and gain. Echo cancellation
 * is needed because the others are heard through the loudspeakers.
 */
export function constraints({ audio, video }: DeviceChoice): MediaStreamConstraints {
  return {
    audio: audio !== false && {
      echoCancellation: true,
      noiseSuppression: true,
      autoGainControl: true,
      ...(typeof audio === 'string' ? { deviceId: { exact: audio } } : {}),
    },
    video: video !== false && {
      width: { ideal: 1280 },
      height: { ideal: 720 },
      frameRate: { ideal: 30, max: 30 },
      ...(typeof video === 'string' ? { deviceId: { exact: video } } : {}),
    },
  };
}

/**
 * Opens camera and microphone. Rejects with a `RequestError` whose `code` is `not-allowed`, `not-found`, `in-use`,
 * `insecure` or `no-devices`.
 */
export async function openDevices(choice: DeviceChoice = { audio: true, video: true }): Promise<MediaStream> {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw deviceError('insecure', 'Browsers allow cameras and microphones only on pages served by HTTPS.');
  }
  try {
    return await navigator.mediaDevices.getUserMedia(constraints(choice));
  } catch (error) {
    const name = error instanceof DOMException ? error.name : '';
    if (name === 'NotAllowedError' || name === 'SecurityError') {
      throw deviceError('not-allowed', 'The browser does not have permission to use the camera and the microphone.');
    }
    if (name === 'NotFoundError' || name === 'OverconstrainedError') {
      // One of the two is better than none. A person without a camera can still speak.
      if (choice.audio !== false && choice.video !== false) {
        return openDevices({ ...choice, video: false }).catch(() => openDevices({ ...choice, audio: false }));
      }
      throw deviceError('not-found', 'There is no camera or microphone.');
    }
    if (name === 'NotReadableError') throw deviceError('in-use', 'Another program uses the camera or the microphone.');
    throw deviceError('no-devices', String(error));
  }
}

/** Opens the screen, a window or a tab, with its audio if the browser supports that. */
export async function openScreen(): Promise<MediaStream> {
  if (!navigator.mediaDevices?.getDisplayMedia) throw deviceError('no-devices', 'This browser cannot share a screen.');
  const video = { frameRate: { ideal: 30, max: 30 }, width: { max: 1920 }, height: { max: 1080 } };
  try {
    return await navigator.mediaDevices.getDisplayMedia({ video, audio: true });
  } catch (error) {
    throw deviceError('not-allowed', String(error));
  }
}

export function stopTracks(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

function deviceError(code: string, detail: string): RequestError {
  return new RequestError({ status: 0, title: 'No camera or microphone', detail, code });
}
