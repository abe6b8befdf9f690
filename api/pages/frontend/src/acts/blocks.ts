// The acts as blocks on the timeline: selected by a press, their edges dragged or moved by keys.

import { all } from '../lib/dom';
import { type Edge, type Editing, moveEdge, room, SECOND } from './model';
import type { Scale } from './scale';
import { exact, fill, spoken, type Words } from './words';

const SNAP_PX = 7;
const TAP_PX = 5;
const EDGES: readonly Edge[] = ['start', 'end'];

export interface BlockEvents {
  /** An edge is on its way: show the frame it is at. */
  dragging(tick: number, edge: Edge): void;
  chosen(key: number, tick: number): void;
  preview(edge: Edge): void;
  joined(): boolean;
  /** Ticks that edges stick to: the playhead, the marks. */
  sticky(): readonly number[];
}

export class Blocks {
  private readonly made = new Map<number, HTMLElement>();

  constructor(
    private readonly box: HTMLElement,
    private readonly editing: Editing,
    private readonly scale: Scale,
    private readonly frame: number,
    private readonly words: Words,
    private readonly events: BlockEvents,
  ) {}

  render(): void {
    const { acts, selected } = this.editing;
    const left = new Set(this.made.keys());
    acts.forEach((act, at) => {
      const block = this.made.get(act.key) ?? this.make(act.key);
      left.delete(act.key);
      const [x, end] = [this.scale.x(act.start), this.scale.x(act.end)];
      block.style.transform = `translateX(${x}px)`;
      block.style.width = `${Math.max(2, end - x)}px`;
      block.dataset.sure = act.sure;
      block.classList.toggle('block-on', act.key === selected);
      const name = act.title || fill(this.words.piece, { n: at + 1 });
      const word = block.firstElementChild as HTMLElement;
      const doubt = act.sure === 'unsure' ? `〔${this.words.sure.unsure ?? ''}〕` : ' ';
      const text = `${at + 1}${doubt}${name}`;
      if (word.textContent !== text) word.textContent = text;
      block.title = `${name} · ${this.words.sure[act.sure] ?? ''}`;
      for (const handle of all('[role=slider]', block)) this.tell(handle, at, act.key === selected);
    });
    for (const key of left) {
      this.made.get(key)?.remove();
      this.made.delete(key);
    }
  }

  private tell(handle: HTMLElement, at: number, on: boolean): void {
    const edge = handle.dataset.edge as Edge;
    const act = this.editing.acts[at]!;
    const [least, most] = room(this.editing.acts, at, edge, this.events.joined(), this.editing.length);
    handle.tabIndex = on ? 0 : -1;
    const seconds = (tick: number) => (tick / SECOND).toFixed(2);
    handle.setAttribute('aria-label', fill(this.words.edge[edge], { n: at + 1 }));
    handle.setAttribute('aria-valuemin', seconds(least));
    handle.setAttribute('aria-valuemax', seconds(most));
    handle.setAttribute('aria-valuenow', seconds(act[edge]));
    handle.setAttribute('aria-valuetext', spoken(this.words, act[edge]));
    handle.dataset.time = exact(act[edge]);
  }

  private make(key: number): HTMLElement {
    const block = document.createElement('div');
    block.className = 'block';
    block.dataset.key = String(key);
    const name = document.createElement('span');
    name.className = 'block-name';
    block.append(name);
    for (const edge of EDGES) {
      const handle = document.createElement('span');
      handle.className = `handle handle-${edge}`;
      handle.dataset.edge = edge;
      handle.setAttribute('role', 'slider');
      handle.setAttribute('aria-orientation', 'horizontal');
      handle.addEventListener('pointerdown', (event) => this.drag(event, key, edge, handle));
      handle.addEventListener('keydown', (event) => this.key(event, key, edge));
      block.append(handle);
    }
    // A press selects; a swipe across it scrolls.
    let downAt = 0;
    block.addEventListener('pointerdown', (event) => (downAt = event.clientX));
    block.addEventListener('click', (event) => {
      if (Math.abs(event.clientX - downAt) < TAP_PX) this.events.chosen(key, this.scale.tick(event.clientX));
    });
    this.box.append(block);
    this.made.set(key, block);
    return block;
  }

  focus(key: number, edge: Edge): void {
    this.made.get(key)?.querySelector<HTMLElement>(`[data-edge=${edge}]`)?.focus();
  }

  private stick(tick: number): number {
    const near = (SNAP_PX / this.scale.zoom) * SECOND;
    let best = tick;
    let least = near;
    for (const at of this.events.sticky()) {
      if (Math.abs(at - tick) < least) [best, least] = [at, Math.abs(at - tick)];
    }
    return best;
  }

  private drag(event: PointerEvent, key: number, edge: Edge, handle: HTMLElement): void {
    if (event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation();
    const { editing, scale } = this;
    const before = editing.acts;
    const at = before.findIndex((act) => act.key === key);
    const joined = this.events.joined();
    const off = scale.x(before[at]![edge]) - scale.x(scale.tick(event.clientX));
    const startX = event.clientX;
    let moved = false;
    editing.select(key);
    handle.focus({ preventScroll: true });
    handle.setPointerCapture(event.pointerId);
    handle.classList.add('handle-held');
    const move = (e: PointerEvent) => {
      if (!moved && Math.abs(e.clientX - startX) < 2) return;
      moved = true;
      const tick = scale.tick(e.clientX + off);
      const now = moveEdge(before, at, edge, this.stick(tick), joined, editing.length);
      editing.show(now, true);
      this.events.dragging(now[at]![edge], edge);
    };
    const stop = (e: PointerEvent) => {
      handle.removeEventListener('pointermove', move);
      handle.removeEventListener('pointerup', stop);
      handle.removeEventListener('pointercancel', stop);
      handle.classList.remove('handle-held');
      const after = editing.acts;
      if (!moved) return;
      editing.show(before, false);
      // Taken away by the system (a call, a swipe): as if nothing had been.
      if (e.type === 'pointerup') editing.set(after);
    };
    handle.addEventListener('pointermove', move);
    handle.addEventListener('pointerup', stop);
    handle.addEventListener('pointercancel', stop);
  }

  /** Arrow keys: a frame; with Shift, or the page keys: a second, ten. */
  private key(event: KeyboardEvent, key: number, edge: Edge): void {
    if (event.key === 'Enter') {
      event.preventDefault();
      this.events.preview(edge);
      return;
    }
    const steps: Record<string, number> = {
      ArrowLeft: -this.frame, ArrowDown: -this.frame, ArrowRight: this.frame, ArrowUp: this.frame,
      PageDown: -10 * SECOND, PageUp: 10 * SECOND,
    };
    let by = steps[event.key];
    if (by === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.shiftKey && Math.abs(by) === this.frame) by = Math.sign(by) * SECOND;
    const at = this.editing.acts.findIndex((act) => act.key === key);
    const act = this.editing.acts[at];
    if (!act) return;
    const next = moveEdge(this.editing.acts, at, edge, act[edge] + by, this.events.joined(), this.editing.length);
    this.editing.set(next, `key-${key}-${edge}`);
    this.events.dragging(next[at]![edge], edge);
    this.scale.follow(next[at]![edge], 0.5);
  }
}
