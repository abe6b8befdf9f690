// The canvas behind the timeline: a ruler, the storyboard, the sound and its kinds. It is as wide as
// the window on it and drawn anew when that moves: three hours at full zoom fit no canvas. (This is
// also why the waveform is drawn here: wavesurfer would lay a second scroll and zoom beside ours.)

import type { Sound, Storyboard, Wave } from './drawn';
import { SECOND } from './model';
import type { Scale } from './scale';
import { clock } from './words';

const RULER = 26;
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const LABEL_APART = 84;

export const COLOURS: Record<string, string> = {
  speech: '#7fb7c9',
  music: '#8fae6b',
  song: '#c9a3d6',
  applause: '#e2bd6c',
};

export class Backdrop {
  sounds: Sound[] = [];
  private queued = false;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly scale: Scale,
    private readonly board: Storyboard,
    private readonly wave: Wave,
    private readonly aspect: number,
  ) {}

  /** Draw before the next frame, once however often asked. */
  draw(): void {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.now();
    });
  }

  private now(): void {
    const { canvas, scale } = this;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const [width, height] = [scale.width, canvas.clientHeight];
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
    }
    const to = canvas.getContext('2d');
    if (!to) return;
    to.setTransform(ratio, 0, 0, ratio, 0, 0);
    to.clearRect(0, 0, width, height);
    const strip = Math.round((height - RULER) * 0.5);
    this.pictures(to, RULER, strip);
    this.sound(to, RULER + strip + 6, height - RULER - strip - 18);
    this.kinds(to, height - 8);
    this.ruler(to, width);
  }

  private ruler(to: CanvasRenderingContext2D, width: number): void {
    const { scale } = this;
    const step = STEPS.find((s) => s * scale.zoom >= LABEL_APART) ?? 7200;
    const [from, until] = scale.seen;
    to.fillStyle = '#cdbfac';
    to.strokeStyle = '#43372d';
    to.font = '12px system-ui, sans-serif';
    to.textBaseline = 'middle';
    to.beginPath();
    const least = Math.floor(from / SECOND / step);
    for (let n = least; n * step * SECOND <= Math.min(until, scale.length); n++) {
      const tick = n * step * SECOND;
      const x = Math.round(scale.x(tick) - scale.box.scrollLeft) + 0.5;
      to.moveTo(x, RULER - 8);
      to.lineTo(x, RULER);
      const text = step < 1 ? `${clock(Math.floor(n * step + 1e-6) * SECOND)}.${Math.round((n * step * 10) % 10)}` : clock(tick);
      if (x < width - 30) to.fillText(text, x + 5, RULER / 2);
    }
    to.stroke();
  }

  private pictures(to: CanvasRenderingContext2D, y: number, h: number): void {
    const { scale, board } = this;
    const w = Math.round(h * this.aspect);
    const left = scale.box.scrollLeft;
    const end = Math.min(left + scale.width, scale.x(scale.length));
    to.fillStyle = '#1d1713';
    to.fillRect(-left, y, scale.x(scale.length), h);
    for (let x = Math.floor(left / w) * w; x < end; x += w) {
      const wide = Math.min(w, scale.x(scale.length) - x);
      const tick = ((x + wide / 2) / scale.zoom) * SECOND;
      to.save();
      to.beginPath();
      to.rect(x - left, y, wide, h);
      to.clip();
      board.draw(to, tick, x - left, y, w, h);
      to.restore();
      to.fillStyle = '#0f0c0a';
      to.fillRect(x - left - 0.5, y, 1, h);
    }
  }

  private sound(to: CanvasRenderingContext2D, y: number, h: number): void {
    const { scale, wave } = this;
    const middle = y + h / 2;
    const left = scale.box.scrollLeft;
    const end = Math.min(scale.width, scale.x(scale.length) - left);
    to.fillStyle = '#43372d';
    to.fillRect(0, Math.round(middle), Math.max(0, end), 1);
    if (!wave.there) return;
    to.fillStyle = '#cdbfac';
    const ticks = (x: number) => ((left + x) / scale.zoom) * SECOND;
    for (let x = 0; x < end; x += 2) {
      const half = Math.max(0.5, (wave.peak(ticks(x), ticks(x + 2)) * h) / 2);
      to.fillRect(x, middle - half, 1.4, half * 2);
    }
  }

  private kinds(to: CanvasRenderingContext2D, y: number): void {
    const { scale } = this;
    const [from, until] = scale.seen;
    const left = scale.box.scrollLeft;
    for (const [start, end, kind] of this.sounds) {
      const colour = COLOURS[kind];
      if (!colour || end < from || start > until) continue;
      to.fillStyle = colour;
      to.fillRect(scale.x(start) - left, y, Math.max(1, scale.x(end) - scale.x(start)), 6);
    }
  }
}
