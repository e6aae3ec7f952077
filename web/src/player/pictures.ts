// Reports each frame that a video element shows. While the page is hidden, for audio without video, and in browsers
// without requestVideoFrameCallback, it reports progress of the element's clock instead. The clock alone proves nothing:
// in Firefox it runs as soon as an element has a stream with tracks, before the first packet, and it runs with audio
// while no video can be decoded. So audio counts only for a source that may lack pictures.

/** Defines what is asked of the source of the element. */
export interface Source {
  /** Is true once audio or video has arrived. */
  readonly receives: boolean;
  readonly mayLackPictures: boolean;
}

export interface Picture {
  /** Is true if this is progress of audio, and there is no video. */
  audioAlone?: boolean;
  /** When the frame is shown or will be shown, on the page's clock, in ms since 1970. */
  shownAt: number;
  /** Is present for WebRTC only. */
  rtpTimestamp?: number | undefined;
  /** The browser's estimate of the capture time, on the page's clock, in ms since 1970. */
  captureTime?: number | undefined;
}

/** Calls `onPicture` for each frame, until the returned function is called. */
export function watchPictures(
  video: HTMLVideoElement,
  source: Source,
  onPicture: (picture: Picture) => void,
): () => void {
  let handle = 0;
  let closed = false;
  const framed = 'requestVideoFrameCallback' in video;
  const next = () => {
    handle = video.requestVideoFrameCallback((_now, metadata) => {
      if (closed) return;
      const { captureTime, rtpTimestamp } = metadata;
      onPicture({
        shownAt: performance.timeOrigin + metadata.expectedDisplayTime,
        rtpTimestamp,
        captureTime: captureTime === undefined ? undefined : performance.timeOrigin + captureTime,
      });
      if (!closed) next();
    });
  };
  const onProgress = () => {
    const audioAlone = video.videoWidth === 0;
    const pictureless = audioAlone ? source.mayLackPictures : !framed || document.hidden;
    const progresses = video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && !video.paused;
    if (!closed && pictureless && progresses && source.receives) {
      onPicture({ shownAt: performance.timeOrigin + performance.now(), audioAlone });
    }
  };
  if (framed) next();
  video.addEventListener('timeupdate', onProgress);
  return () => {
    closed = true;
    if (framed) video.cancelVideoFrameCallback(handle);
    video.removeEventListener('timeupdate', onProgress);
  };
}
