// Where a tick is on the timeline: how many pixels a second is, and how far it is scrolled.

import { SECOND } from './model';

const MOST = 160; // pixels a second: six to a frame of 25 a second
const STEP = 1.8;

export class Scale {
  /** Pixels a second. */
  zoom = 1;

  constructor(
    readonly box: HTMLElement,
    private readonly inner: HTMLElement,
    readonly length: number,
    private readonly events: { zoomed(): void; scrolled(): void },
  ) {
    box.addEventListener('scroll', () => events.scrolled(), { passive: true });
    // With the wheel and Ctrl (or two fingers on a touch pad) about where the pointer is.
    box.addEventListener(
      'wheel',
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.by(event.deltaY < 0 ? STEP ** 0.5 : STEP ** -0.5, this.tick(event.clientX));
      },
      { passive: false },
    );
    new ResizeObserver(() => this.set(this.zoom)).observe(box);
  }

  get width(): number {
    return this.box.clientWidth;
  }

  /** Pixels a second at which everything is seen at once. */
  get least(): number {
    return Math.max(0.01, this.width / (this.length / SECOND));
  }

  /** Pixels from the timeline's beginning. */
  x(tick: number): number {
    return (tick / SECOND) * this.zoom;
  }

  /** The tick under a point of the window. */
  tick(clientX: number): number {
    const x = clientX - this.box.getBoundingClientRect().left + this.box.scrollLeft;
    return Math.round(Math.max(0, Math.min(this.length, (x / this.zoom) * SECOND)));
  }

  /** First and last tick that can be seen. */
  get seen(): [number, number] {
    const from = (this.box.scrollLeft / this.zoom) * SECOND;
    return [from, from + (this.width / this.zoom) * SECOND];
  }

  set(zoom: number): void {
    this.zoom = Math.max(this.least, Math.min(Math.max(MOST, this.least), zoom));
    this.inner.style.width = `${Math.max(this.width, Math.floor(this.x(this.length)))}px`;
    this.events.zoomed();
  }

  /** Larger or smaller, with a tick staying where it is on the screen. */
  by(factor: number, about: number): void {
    const [from, to] = this.seen;
    const held = about >= from && about <= to ? about : (from + to) / 2;
    const on = this.x(held) - this.box.scrollLeft;
    this.set(this.zoom * factor);
    this.box.scrollLeft = this.x(held) - on;
  }

  zoomIn(about: number): void {
    this.by(STEP, about);
  }

  zoomOut(about: number): void {
    this.by(1 / STEP, about);
  }

  all(): void {
    this.set(this.least);
    this.box.scrollLeft = 0;
  }

  /** A stretch in the middle, with some of what is about it. */
  stretch(start: number, end: number): void {
    const seconds = Math.max(2, (end - start) / SECOND);
    this.set((this.width * 0.7) / seconds);
    this.box.scrollLeft = this.x((start + end) / 2) - this.width / 2;
  }

  /** Scroll so that a tick can be seen, if it cannot. */
  follow(tick: number, share = 0.15): void {
    const x = this.x(tick);
    const [from, to] = [this.box.scrollLeft, this.box.scrollLeft + this.width];
    if (x < from || x > to) this.box.scrollLeft = x - this.width * share;
  }
}
