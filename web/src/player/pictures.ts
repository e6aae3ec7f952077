// Tells of each picture a video element shows. While the page is hidden, for sound without pictures, and in browsers
// without requestVideoFrameCallback, progress of the element's clock stands in for pictures.

export interface Picture {
  /** When it is (to be) shown, on the page's clock, ms since 1970. */
  shownAt: number;
  /** From WebRTC only. */
  rtpTimestamp?: number | undefined;
  /** The browser's estimate of when it was captured, ms since 1970 on the page's clock. */
  captureTime?: number | undefined;
}

/** Calls back until the returned function is called. */
export function watchPictures(video: HTMLVideoElement, onPicture: (picture: Picture) => void): () => void {
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
    if (!closed && pictureless && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && !video.paused) {
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
