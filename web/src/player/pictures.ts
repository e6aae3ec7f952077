// Reports each frame that a video element shows. While the page is hidden, for audio without video, and in browsers
// without requestVideoFrameCallback, it reports progress of the element's clock instead. The clock alone proves nothing:
// in Firefox it runs as soon as an element has a stream with tracks, before the first packet.

export interface Picture {
  /** When the frame is shown or will be shown, on the page's clock, in ms since 1970. */
  shownAt: number;
  /** Is present for WebRTC only. */
  rtpTimestamp?: number | undefined;
  /** The browser's estimate of the capture time, on the page's clock, in ms since 1970. */
  captureTime?: number | undefined;
}

/**
 * Calls `onPicture` for each frame, until the returned function is called. `receives` says whether the element's source
 * has brought any media.
 */
export function watchPictures(
  video: HTMLVideoElement,
  receives: () => boolean,
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
    const pictureless = !framed || document.hidden || video.videoWidth === 0;
    const progresses = video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && !video.paused;
    if (!closed && pictureless && progresses && receives()) {
      onPicture({ shownAt: performance.timeOrigin + performance.now() });
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
