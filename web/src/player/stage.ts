// Two video elements, one on top of the other: what is shown, and what gets ready. They are swapped in one turn of the
// event loop, so there is no moment without a picture, and the sound moves with the picture: never both, never twice.
//
// Knows nothing of transports. Restores the page on close.

export class Stage {
  readonly container: HTMLElement;
  readonly #given: HTMLVideoElement | null;
  readonly #videos: [HTMLVideoElement, HTMLVideoElement];
  readonly #onSound: () => void;
  #front: 0 | 1 = 0;
  #muted: boolean;
  #volume = 1;
  #blocked = false;
  #closed = false;

  /** `element` is a container to fill, or a video element, which is then wrapped in one. */
  constructor(element: HTMLElement, muted: boolean, onSound: () => void) {
    this.#muted = muted;
    this.#onSound = onSound;
    if (element instanceof HTMLVideoElement) {
      this.#given = element;
      this.container = document.createElement('div');
      this.container.style.cssText = 'position:relative;display:inline-block;width:100%;height:100%';
      element.before(this.container);
      this.#videos = [element, document.createElement('video')];
    } else {
      this.#given = null;
      this.container = element;
      if (getComputedStyle(element).position === 'static') element.style.position = 'relative';
      this.#videos = [document.createElement('video'), document.createElement('video')];
    }
    for (const video of this.#videos) {
      video.muted = true;
      video.autoplay = true;
      video.playsInline = true;
      video.disableRemotePlayback = true; // ManagedMediaSource refuses to work without.
      Object.assign(video.style, {
        position: 'absolute',
        inset: '0',
        width: '100%',
        height: '100%',
        objectFit: 'contain',
      });
    }
    this.container.prepend(...this.#videos);
    this.#stack();
  }

  /** The element that is shown. */
  get front(): HTMLVideoElement {
    return this.#videos[this.#front];
  }

  /** The element that a new session plays into until it is swapped. */
  get back(): HTMLVideoElement {
    return this.#videos[this.#front === 0 ? 1 : 0];
  }

  get muted(): boolean {
    return this.#muted;
  }

  /** True when the browser refused to start with sound: it wants a gesture first. */
  get blocked(): boolean {
    return this.#blocked;
  }

  get volume(): number {
    return this.#volume;
  }

  setMuted(muted: boolean): void {
    this.#muted = muted;
    this.#blocked = false;
    this.#sound();
    if (!muted && !this.#closed) this.start(this.front);
    this.#onSound();
  }

  setVolume(volume: number): void {
    this.#volume = Math.min(1, Math.max(0, volume));
    this.#sound();
    this.#onSound();
  }

  /** Brings `video` to the front; what was there is emptied. */
  swapTo(video: HTMLVideoElement): void {
    if (video === this.front) return this.#sound();
    this.#front = this.#front === 0 ? 1 : 0;
    this.#stack();
    this.#sound();
    // Unmuting without a gesture pauses the element in some browsers; this finds out.
    if (!this.#muted) this.start(this.front);
    // Needs no gesture while another element of the page has the small window.
    if (document.pictureInPictureElement === this.back) this.front.requestPictureInPicture().catch(() => {});
    empty(this.back);
  }

  /** Takes away all pictures but those of elements to `keep`. */
  clear(keep: (video: HTMLVideoElement) => boolean = () => false): void {
    for (const video of this.#videos) if (!keep(video)) empty(video);
  }

  /** Plays, without sound if the browser does not allow it with. */
  start(video: HTMLVideoElement): void {
    video.play().catch((error: unknown) => {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError' || video.muted) return;
      this.#muted = true;
      this.#blocked = true;
      this.#sound();
      this.#onSound();
      video.play().catch(() => {}); // Refused even without sound (power saving): a gesture calls setMuted.
    });
  }

  close(): void {
    this.clear();
    this.#closed = true;
    for (const video of this.#videos) {
      if (video !== this.#given) video.remove();
    }
    if (this.#given) {
      this.#given.removeAttribute('style');
      this.container.replaceWith(this.#given);
    }
  }

  #sound(): void {
    this.back.muted = true;
    this.front.muted = this.#muted;
    for (const video of this.#videos) video.volume = this.#volume;
  }

  #stack(): void {
    // Underneath, not transparent: a browser may stop drawing what cannot be seen at all.
    this.front.style.zIndex = '1';
    this.back.style.zIndex = '0';
    this.back.setAttribute('aria-hidden', 'true');
    this.front.removeAttribute('aria-hidden');
  }
}

function empty(video: HTMLVideoElement): void {
  video.srcObject = null;
  if (video.hasAttribute('src')) {
    video.removeAttribute('src');
    video.load();
  }
}
