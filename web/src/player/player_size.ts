// Reports how large the player is, in device pixels, once at the beginning and after each change that lasts.

const SETTLES_MS = 400; // While somebody drags the edge of a window, the size changes with each frame.

export interface Size {
  width: number;
  height: number;
}

/** Calls `onSize` until the returned function is called. A player that is not laid out has no size, so its last one counts. */
export function watchSize(element: HTMLElement, onSize: (size: Size) => void): () => void {
  if (typeof ResizeObserver === 'undefined') return () => {};
  let timer: ReturnType<typeof setTimeout> | undefined;
  let told: Size | null = null;
  let size: Size | null = null;
  const tell = () => {
    if (!size || (told && told.width === size.width && told.height === size.height)) return;
    told = size;
    onSize(size);
  };
  const observer = new ResizeObserver((entries) => {
    const entry = entries.at(-1);
    if (!entry) return;
    const measured = inDevicePixels(entry);
    if (measured.width === 0 || measured.height === 0) return;
    size = measured;
    clearTimeout(timer);
    if (told) timer = setTimeout(tell, SETTLES_MS);
    else tell();
  });
  try {
    observer.observe(element, { box: 'device-pixel-content-box' }); // It also notices a change of the pixel ratio.
  } catch {
    observer.observe(element); // Safari.
  }
  return () => {
    clearTimeout(timer);
    observer.disconnect();
  };
}

function inDevicePixels({ devicePixelContentBoxSize, contentRect }: ResizeObserverEntry): Size {
  const box = devicePixelContentBoxSize?.[0];
  if (box) return { width: box.inlineSize, height: box.blockSize };
  const { devicePixelRatio } = window;
  return {
    width: Math.round(contentRect.width * devicePixelRatio),
    height: Math.round(contentRect.height * devicePixelRatio),
  };
}
