// Two video elements, one on top of the other: what is shown, and what gets ready. They are swapped in one turn of the
// event loop, so there is no moment without a picture, and the sound moves with the picture: never both, never twice.
// A third one, the cover, is there while somebody goes on mic: it lies under both until it is raised over both, and its
// sound is mixed with theirs as `mix` says.
//
// Knows nothing of transports. Restores the page on close.

export class Stage {
  readonly container: HTMLElement;
  readonly #given: HTMLVideoElement | null;
  readonly #videos: [HTMLVideoElement, HTMLVideoElement];
  readonly #onSound: () => void;
  #front: 0 | 1 = 0;
  #cover: HTMLVideoElement | null = null;
  #raised = false;
  #levels = { program: 1, cover: 0 };
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
      prepare(video);
    }
    this.container.prepend(...this.#videos);
    this.#stack();
  }

  /** What people see. */
  get top(): HTMLVideoElement {
    return this.#cover && this.#raised ? this.#cover : this.front;
  }

  /** The element that shows the program. */
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
    if (!muted && !this.#closed) this.start(this.top);
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

  /** An element under the others, for what is to cover them. */
  addCover(): HTMLVideoElement {
    this.removeCover();
    const cover = document.createElement('video');
    prepare(cover);
    cover.setAttribute('aria-hidden', 'true');
    this.#cover = cover;
    this.container.prepend(cover);
    this.#stack();
    return cover;
  }

  /** Puts the cover over the program, or under it again. */
  raise(raised: boolean): void {
    if (!this.#cover) return;
    const small = document.pictureInPictureElement === this.top;
    this.#raised = raised;
    this.#stack();
    if (small) this.top.requestPictureInPicture().catch(() => {});
  }

  /** How loud the program and the cover are, 0 to 1 each. */
  mix(program: number, cover: number): void {
    this.#levels = { program, cover };
    this.#sound();
    if (!this.#muted && cover > 0 && this.#cover?.paused) this.start(this.#cover);
  }

  removeCover(): void {
    const cover = this.#cover;
    this.#cover = null;
    this.#raised = false;
    this.#levels = { program: 1, cover: 0 };
    if (cover) {
      empty(cover);
      cover.remove();
    }
    this.#sound();
    this.#stack();
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
    this.removeCover();
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
    this.back.volume = this.#volume;
    this.#play(this.front, this.#levels.program);
    if (this.#cover) this.#play(this.#cover, this.#levels.cover);
  }

  #play(video: HTMLVideoElement, level: number): void {
    video.volume = this.#volume * level;
    // iPhones keep the volume to themselves: there the louder of the two is the one that is heard.
    const fades = level === 1 || level === 0 || Math.abs(video.volume - this.#volume * level) < 0.01;
    video.muted = this.#muted || (fades ? level === 0 : level < Math.SQRT1_2);
  }

  #stack(): void {
    // Underneath, not transparent: a browser may stop drawing what cannot be seen at all.
    this.front.style.zIndex = '1';
    this.back.style.zIndex = '0';
    if (this.#cover) this.#cover.style.zIndex = this.#raised ? '2' : '0';
    for (const video of [...this.#videos, this.#cover]) {
      if (video === this.top) video.removeAttribute('aria-hidden');
      else video?.setAttribute('aria-hidden', 'true');
    }
  }
}

function prepare(video: HTMLVideoElement): void {
  video.muted = true;
  video.autoplay = true;
  video.playsInline = true;
  video.disableRemotePlayback = true; // ManagedMediaSource refuses to work without.
  Object.assign(video.style, { position: 'absolute', inset: '0', width: '100%', height: '100%', objectFit: 'contain' });
}

function empty(video: HTMLVideoElement): void {
  video.srcObject = null;
  if (video.hasAttribute('src')) {
    video.removeAttribute('src');
    video.load();
  }
}
