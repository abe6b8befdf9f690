// What the timeline is drawn from: the storyboard's pictures, the peaks of the sound, its kinds.
// Each may be missing; the timeline is there without it.

import { SECOND } from './model';

export interface Tile {
  start: number;
  end: number;
  url: string;
  x: number;
  y: number;
  w: number;
  h: number;
}

/** WebVTT thumbnails: cues whose text is an address with #xywh=x,y,w,h. */
export function readStoryboard(text: string, base: string): Tile[] {
  const seconds = (stamp: string) => stamp.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
  const tiles: Tile[] = [];
  for (const block of text.replace(/\r/g, '').split(/\n\n+/)) {
    const found = /([\d:.]+)\s*-->\s*([\d:.]+)[^\n]*\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)/.exec(block);
    if (!found) continue;
    const [, from = '', to = '', name = '', ...box] = found;
    const [x = 0, y = 0, w = 0, h = 0] = box.map(Number);
    tiles.push({
      start: Math.round(seconds(from) * SECOND),
      end: Math.round(seconds(to) * SECOND),
      url: new URL(name, base).href,
      x, y, w, h,
    });
  }
  return tiles;
}

export class Storyboard {
  tiles: Tile[] = [];
  private readonly sheets = new Map<string, HTMLImageElement>();

  constructor(private readonly onPicture: () => void) {}

  async load(url: string): Promise<void> {
    const answer = await fetch(url).catch(() => null);
    if (!answer?.ok) return;
    this.tiles = readStoryboard(await answer.text(), new URL(url, window.location.href).href);
    this.onPicture();
  }

  private sheet(url: string): HTMLImageElement {
    let image = this.sheets.get(url);
    if (!image) {
      image = new Image();
      image.addEventListener('load', () => this.onPicture());
      image.src = url;
      this.sheets.set(url, image);
    }
    return image;
  }

  /** Draw the picture of a tick into a box, filling it; false: there is none (yet). */
  draw(to: CanvasRenderingContext2D, tick: number, x: number, y: number, w: number, h: number): boolean {
    let [low, high] = [0, this.tiles.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.tiles[middle]!.start <= tick) low = middle;
      else high = middle - 1;
    }
    const tile = this.tiles[low];
    if (!tile) return false;
    const image = this.sheet(tile.url);
    if (!image.complete || !image.naturalWidth) return false;
    const scale = Math.max(w / tile.w, h / tile.h);
    const [sw, sh] = [w / scale, h / scale];
    to.drawImage(image, tile.x + (tile.w - sw) / 2, tile.y + (tile.h - sh) / 2, sw, sh, x, y, w, h);
    return true;
  }
}

/** Peaks of the sound, 0 to 255, so many a second. */
export class Wave {
  private peaks: Uint8Array | null = null;
  private perSecond = 10;
  private top = 255;

  async load(url: string, perSecond: number): Promise<void> {
    const answer = await fetch(url).catch(() => null);
    if (!answer?.ok) return;
    this.peaks = new Uint8Array(await answer.arrayBuffer());
    this.perSecond = perSecond;
    // A quiet recording is drawn as tall as a loud one: its shape is what people look for.
    this.top = this.peaks.reduce((most, peak) => Math.max(most, peak), 24);
  }

  get there(): boolean {
    return this.peaks !== null;
  }

  /** The highest peak between two ticks, of the highest of all, 0 to 1. */
  peak(from: number, to: number): number {
    if (!this.peaks) return 0;
    const first = Math.floor((from / SECOND) * this.perSecond);
    const last = Math.max(first + 1, Math.ceil((to / SECOND) * this.perSecond));
    let most = 0;
    for (let i = first; i < last && i < this.peaks.length; i++) most = Math.max(most, this.peaks[i]!);
    return most / this.top;
  }
}

/** A stretch of one kind of sound: host, music, applause, silence. */
export type Sound = [start: number, end: number, kind: string];
