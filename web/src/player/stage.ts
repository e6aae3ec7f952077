// Stacks two video elements: the front one is shown, and the back one gets ready. They are swapped in one turn of the
// event loop, so there is always a frame to see. The audio moves with the video, so only one of them is heard. While
// somebody goes on mic there is a third element, the cover. It lies under the two others until it is raised over them,
// and `mix` sets the levels of its audio and theirs. Where only audio plays, the poster lies over all of them.
//
// The stage knows nothing of transports. It restores the page on close.

export class Stage {
  readonly container: HTMLElement;
  readonly #given: HTMLVideoElement | null;
  readonly #videos: [HTMLVideoElement, HTMLVideoElement];
  readonly #onSound: () => void;
  #front: 0 | 1 = 0;
  readonly #poster = document.createElement('div');
  #cover: HTMLVideoElement | null = null;
  #raised = false;
  #levels = { program: 1, cover: 0 };
  #muted: boolean;
  #volume = 1;
  #blocked = false;
  #closed = false;

  /** `element` is a container to fill, or a video element, which is then wrapped in a container. */
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
    Object.assign(this.#poster.style, { position: 'absolute', inset: '0', zIndex: '3', background: '#0b0c0e' });
    this.#poster.dataset['onmicPoster'] = '';
    this.#poster.hidden = true;
    this.container.prepend(...this.#videos);
    this.#videos[1].after(this.#poster);
    this.#stack();
  }

  /** Puts the poster in place of the picture, or takes it away. */
  setPoster(shown: boolean): void {
    this.#poster.hidden = !shown;
  }

  get hasPoster(): boolean {
    return !this.#poster.hidden;
  }

  /** Returns the element that people see. */
  get top(): HTMLVideoElement {
    return this.#cover && this.#raised ? this.#cover : this.front;
  }

  /** Returns the element that shows the program. */
  get front(): HTMLVideoElement {
    return this.#videos[this.#front];
  }

  /** Returns the element that a new session plays into until the two are swapped. */
  get back(): HTMLVideoElement {
    return this.#videos[this.#front === 0 ? 1 : 0];
  }

  get muted(): boolean {
    return this.#muted;
  }

  /** Is true if the browser refused to start with audio, because it requires a gesture first. */
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

  /** Brings `video` to the front and empties the element that was there. */
  swapTo(video: HTMLVideoElement): void {
    if (video === this.front) return this.#sound();
    this.#front = this.#front === 0 ? 1 : 0;
    this.#stack();
    this.#sound();
    // Some browsers pause an element that is unmuted without a gesture. `start` detects that.
    if (!this.#muted) this.start(this.front);
    // This needs no gesture while another element of the page is in picture-in-picture.
    if (document.pictureInPictureElement === this.back) this.front.requestPictureInPicture().catch(() => {});
    empty(this.back);
  }

  /** Adds the cover, a video element under the others. */
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

  /** Puts the cover over the program, or back under it. */
  raise(raised: boolean): void {
    if (!this.#cover) return;
    const small = document.pictureInPictureElement === this.top;
    this.#raised = raised;
    this.#stack();
    if (small) this.top.requestPictureInPicture().catch(() => {});
  }

  /** Sets the levels of the program and of the cover, each from 0 to 1. */
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

  /** Empties all video elements except those to `keep`. */
  clear(keep: (video: HTMLVideoElement) => boolean = () => false): void {
    for (const video of this.#videos) if (!keep(video)) empty(video);
  }

  /** Plays `video`. Mutes it if the browser does not allow it to start with audio. */
  start(video: HTMLVideoElement): void {
    video.play().catch((error: unknown) => {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError' || video.muted) return;
      this.#muted = true;
      this.#blocked = true;
      this.#sound();
      this.#onSound();
      // If the browser refuses even muted playback (power saving), a gesture calls setMuted.
      video.play().catch(() => {});
    });
  }

  close(): void {
    this.removeCover();
    this.clear();
    this.#closed = true;
    this.#poster.remove();
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
    // On iPhones a page cannot set the volume. There only the louder of the two is heard.
    const fades = level === 1 || level === 0 || Math.abs(video.volume - this.#volume * level) < 0.01;
    video.muted = this.#muted || (fades ? level === 0 : level < Math.SQRT1_2);
  }

  #stack(): void {
    // The element lies underneath and is not transparent, because a browser may stop drawing a transparent element.
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
  video.disableRemotePlayback = true; // ManagedMediaSource does not work without this.
  Object.assign(video.style, { position: 'absolute', inset: '0', width: '100%', height: '100%', objectFit: 'contain' });
}

function empty(video: HTMLVideoElement): void {
  video.srcObject = null;
  if (video.hasAttribute('src')) {
    video.removeAttribute('src');
    video.load();
  }
}
