// The picture of the cutting page: seeks to the frame, plays, and plays a few seconds about a cut.

import Hls from 'hls.js/light';
import { show } from '../lib/dom';
import { SECOND, type Edge } from './model';

declare const HLS_WORKER_PATH: string;

const PREVIEW_S = 1.5; // on either side of a cut
const SEEK_MS = 120; // while an edge is dragged
const RETRY_MS = 3_000;
const HAIR = 90; // ticks: a browser's times are not exact to the last

export interface MonitorEvents {
  moved(tick: number): void;
  playing(yes: boolean): void;
  /** What the picture shows while a cut is looked at; null: nothing special. */
  flag(name: string | null): void;
  ready(yes: boolean): void;
}

export class Monitor {
  private hls: Hls | null = null;
  private preview: { edge: Edge; at: number } | null = null;
  private goal = 0;
  private seekTimer = 0;
  private lastSeek = 0;
  /** On its way to where it was sent: what the video says meanwhile is of before. */
  private underway = false;
  private waiting = false;

  constructor(
    readonly video: HTMLVideoElement,
    private readonly url: string,
    private readonly length: number,
    private readonly frameTicks: number,
    private readonly events: MonitorEvents,
  ) {
    video.addEventListener('timeupdate', () => this.onTime());
    video.addEventListener('seeked', () => this.arrived());
    video.addEventListener('play', () => {
      this.underway = false;
      this.frame();
    });
    for (const name of ['play', 'pause', 'ended']) {
      video.addEventListener(name, () => events.playing(!video.paused && !video.ended));
    }
    // A phone that plays HLS itself fetches no picture before it is touched.
    for (const name of ['loadedmetadata', 'loadeddata']) {
      video.addEventListener(name, () => events.ready(true));
    }
    this.open();
  }

  /** Where it stands, or is on its way to. */
  get tick(): number {
    return this.goal;
  }

  get playing(): boolean {
    return !this.video.paused && !this.video.ended;
  }

  private open(): void {
    if (!Hls.isSupported()) {
      this.video.preload = 'metadata';
      this.video.src = this.url;
      return;
    }
    this.hls = new Hls({
      workerPath: HLS_WORKER_PATH,
      startPosition: 0,
      lowLatencyMode: false,
      maxBufferLength: 12,
      backBufferLength: 30,
      capLevelToPlayerSize: true,
    });
    this.hls.on(Hls.Events.ERROR, (_, error) => {
      if (!error.fatal) return;
      this.events.ready(false);
      if (error.type === Hls.ErrorTypes.MEDIA_ERROR) this.hls?.recoverMediaError();
      else window.setTimeout(() => this.hls?.loadSource(this.url), RETRY_MS);
    });
    this.hls.loadSource(this.url);
    this.hls.attachMedia(this.video);
  }

  private place(tick: number): number {
    return Math.max(0, Math.min(this.length, tick));
  }

  /** Show the frame at a tick; of an act's edge, the first or the last frame that is kept. While
   * something is dragged not more often than can be shown. */
  seek(tick: number, edge?: Edge): void {
    this.stopPreview();
    this.goal = this.place(tick);
    this.underway = true;
    this.events.moved(this.goal);
    window.clearTimeout(this.seekTimer);
    this.waiting = true;
    const wait = Math.max(0, this.lastSeek + SEEK_MS - performance.now());
    // A frame lasts from its own time on: an act's first is the one that begins at the edge or
    // next after it, its last the one that began before.
    const inside = edge === 'start' ? this.frameTicks - HAIR : edge === 'end' ? -HAIR : HAIR;
    const goal = Math.max(0, Math.min(this.length - HAIR, this.goal + inside));
    this.seekTimer = window.setTimeout(() => this.go(goal), wait);
  }

  private go(tick: number): void {
    this.lastSeek = performance.now();
    this.waiting = false;
    this.video.currentTime = tick / SECOND;
  }

  toggle(): void {
    this.stopPreview();
    if (this.playing) this.video.pause();
    else void this.video.play().catch(() => undefined);
  }

  /** Three seconds about a cut, saying what of them is kept. */
  look(edge: Edge, at: number): void {
    this.stopPreview();
    this.preview = { edge, at };
    const from = this.place(at - PREVIEW_S * SECOND);
    this.goal = from;
    this.go(from);
    this.tellFlag(from);
    void this.video.play().catch(() => this.stopPreview());
  }

  private stopPreview(): void {
    if (!this.preview) return;
    this.preview = null;
    this.events.flag(null);
  }

  private tellFlag(tick: number): void {
    if (!this.preview) return;
    const side = tick < this.preview.at ? 'before' : 'after';
    this.events.flag(`${side}_${this.preview.edge}`);
  }

  private frame(): void {
    this.onTime();
    if (this.playing) requestAnimationFrame(() => this.frame());
  }

  private arrived(): void {
    // Sent on while it was on its way: the next one is still to come.
    if (!this.video.seeking && !this.waiting) this.underway = false;
    this.onTime();
  }

  private onTime(): void {
    if (this.video.seeking || this.underway) return;
    const tick = Math.round(this.video.currentTime * SECOND);
    // Standing still, the tick asked for is truer than the browser's rounding of it.
    if (this.playing || Math.abs(tick - this.goal) > SECOND / 5) this.goal = this.place(tick);
    this.events.moved(this.goal);
    const { preview } = this;
    if (!preview || !this.playing) return;
    this.tellFlag(tick);
    if (tick >= Math.min(this.length, preview.at + PREVIEW_S * SECOND)) {
      this.video.pause();
      this.seek(preview.at, preview.edge);
    }
  }
}

export function wireFlag(box: HTMLElement | null, words: Record<string, string>): (name: string | null) => void {
  return (name) => {
    show(box, name !== null);
    if (!box || name === null) return;
    const text = words[name] ?? '';
    if (box.textContent !== text) box.textContent = text;
    box.dataset.kept = String(name === 'after_start' || name === 'before_end');
  };
}
