// The acts as a list that is edited: every change gives a new list, so that undoing is keeping the old.
// Times are ticks of 1/90 000 s, as the server keeps them.

export const SECOND = 90_000;
export const LEAST = SECOND;
const NEW_ACT = 180 * SECOND;
const UNDO_MOST = 200;
/** Changes of one kind within this time are one to undo: a key held down, a button pressed thrice. */
const TOGETHER_MS = 700;

export type Edge = 'start' | 'end';
export type Sure = 'confirmed' | 'sure' | 'likely' | 'unsure' | 'changed';

export interface Act {
  /** Ours, for as long as the page is open; the server's is `id`, once it has one. */
  readonly key: number;
  readonly id: number | null;
  readonly start: number;
  readonly end: number;
  readonly title: string;
  readonly entry: number | null;
  readonly sure: Sure;
  readonly because: string;
}

export type Acts = readonly Act[];

let keys = 0;
export const newKey = (): number => ++keys;

function put(acts: Acts, at: number, ...made: Act[]): Act[] {
  return [...acts.slice(0, at), ...made, ...acts.slice(at + 1)];
}

function moved(act: Act, edge: Edge, to: number): Act {
  if (act[edge] === to) return act;
  // Why it begins where it did says nothing of where it begins now.
  const said = edge === 'start' ? { because: '' } : {};
  return { ...act, [edge]: to, ...said, sure: 'changed' };
}

/** The neighbour that begins where this act ends (or ends where it begins); -1: none touches. */
export function touching(acts: Acts, at: number, edge: Edge): number {
  const other = edge === 'start' ? at - 1 : at + 1;
  const [act, beside] = [acts[at], acts[other]];
  if (!act || !beside) return -1;
  return (edge === 'start' ? beside.end === act.start : beside.start === act.end) ? other : -1;
}

/** How far an edge may go: not into a neighbour, and never so far that an act is too short. */
export function room(acts: Acts, at: number, edge: Edge, joined: boolean, length: number): [number, number] {
  const act = acts[at]!;
  const beside = acts[edge === 'start' ? at - 1 : at + 1];
  const pushes = joined && touching(acts, at, edge) >= 0;
  if (edge === 'start') {
    const least = !beside ? 0 : pushes ? beside.start + LEAST : beside.end;
    return [least, act.end - LEAST];
  }
  const most = !beside ? length : pushes ? beside.end - LEAST : beside.start;
  return [act.start + LEAST, most];
}

/** Move an edge; a neighbour that touches it comes along if they are `joined`. */
export function moveEdge(acts: Acts, at: number, edge: Edge, to: number, joined: boolean, length: number): Acts {
  const [least, most] = room(acts, at, edge, joined, length);
  const goal = Math.round(Math.min(most, Math.max(least, to)));
  const beside = joined ? touching(acts, at, edge) : -1;
  let now = put(acts, at, moved(acts[at]!, edge, goal));
  if (beside >= 0) now = put(now, beside, moved(acts[beside]!, edge === 'start' ? 'end' : 'start', goal));
  return now;
}

/** The act a tick lies in; -1: none. */
export function actAt(acts: Acts, tick: number): number {
  return acts.findIndex((act) => act.start <= tick && tick < act.end);
}

/** Cut the act at a tick in two; where there is none, begin one. The list, and which to select. */
export function splitAt(acts: Acts, tick: number, length: number): [Acts, number] | null {
  const blank = { id: null, title: '', entry: null, because: '', sure: 'changed' as Sure };
  const at = actAt(acts, tick);
  const act = acts[at];
  if (act) {
    if (tick - act.start < LEAST || act.end - tick < LEAST) return null;
    const second = { ...blank, key: newKey(), start: tick, end: act.end };
    return [put(acts, at, moved(act, 'end', tick), second), second.key];
  }
  const next = acts.findIndex((a) => a.start > tick);
  const most = next >= 0 ? acts[next]!.start : length;
  const made = { ...blank, key: newKey(), start: tick, end: Math.min(tick + NEW_ACT, most) };
  if (made.end - made.start < LEAST) return null;
  const place = next >= 0 ? next : acts.length;
  return [[...acts.slice(0, place), made, ...acts.slice(place)], made.key];
}

export function mergeNext(acts: Acts, at: number): Acts {
  const [act, next] = [acts[at], acts[at + 1]];
  if (!act || !next) return acts;
  const named = act.title ? act : next;
  const whole = { ...act, end: next.end, title: named.title, entry: named.entry, sure: 'changed' as Sure };
  return [...acts.slice(0, at), whole, ...acts.slice(at + 2)];
}

export function remove(acts: Acts, at: number): Acts {
  return [...acts.slice(0, at), ...acts.slice(at + 1)];
}

export function rename(acts: Acts, at: number, title: string, entry: number | null): Acts {
  const act = acts[at]!;
  if (act.title === title && act.entry === entry) return acts;
  return put(acts, at, { ...act, title, entry });
}

const said = (acts: Acts) => JSON.stringify(acts.map((a) => [a.id, a.start, a.end, a.title, a.entry]));

/** The list under the hand: what is selected, what can be undone, what the server knows. */
export class Editing {
  acts: Acts;
  selected = -1;
  /** What is shown is still in the hand: an edge that is being dragged. */
  held = false;
  private past: Acts[] = [];
  private future: Acts[] = [];
  private lastTag = '';
  private lastAt = 0;
  private saved: string;
  private listeners: (() => void)[] = [];

  constructor(
    acts: Acts,
    readonly length: number,
    public version: string,
  ) {
    this.acts = acts;
    this.saved = said(acts);
  }

  get dirty(): boolean {
    return said(this.acts) !== this.saved;
  }

  /** Everything in it has been confirmed by a person, and is with the server. */
  get settled(): boolean {
    return !this.dirty && this.acts.every((act) => act.sure === 'confirmed');
  }

  get at(): number {
    return this.acts.findIndex((act) => act.key === this.selected);
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  tell(): void {
    for (const listener of this.listeners) listener();
  }

  select(key: number): void {
    if (this.selected === key) return;
    this.selected = key;
    this.tell();
  }

  /** A change; `tag`: changes of one kind in quick succession are undone together. */
  set(next: Acts, tag = ''): void {
    if (next === this.acts) return;
    const now = performance.now();
    const together = tag !== '' && tag === this.lastTag && now - this.lastAt < TOGETHER_MS;
    if (!together) {
      this.past = [...this.past.slice(1 - UNDO_MOST), this.acts];
    }
    this.lastTag = tag;
    this.lastAt = now;
    this.future = [];
    this.acts = next;
    this.held = false;
    this.tell();
  }

  /** Show a change that is still in the hand; `set` it, or show the old list again. */
  show(next: Acts, held: boolean): void {
    this.acts = next;
    this.held = held;
    this.tell();
  }

  undo(): void {
    const before = this.past.pop();
    if (!before) return;
    this.future.push(this.acts);
    this.restore(before);
  }

  redo(): void {
    const after = this.future.pop();
    if (!after) return;
    this.past.push(this.acts);
    this.restore(after);
  }

  private restore(acts: Acts): void {
    this.acts = acts;
    this.lastTag = '';
    if (this.at < 0) this.selected = acts[0]?.key ?? -1;
    this.tell();
  }

  /** The server has taken the list as it was sent: its ids, in order. What was changed while it
   * was on its way is still to be saved; what was done before can still be undone. */
  taken(version: string, sent: Acts, ids: readonly number[]): void {
    this.version = version;
    const known = new Map(sent.map((act, i) => [act.key, ids[i] ?? null]));
    const settle = (list: Acts): Acts => list.map((act) => ({ ...act, id: known.get(act.key) ?? null }));
    const kept = new Set(sent);
    this.saved = said(settle(sent));
    this.past = this.past.map(settle);
    this.future = this.future.map(settle);
    this.acts = this.acts.map((act) => ({
      ...act,
      id: known.get(act.key) ?? null,
      sure: kept.has(act) ? 'confirmed' : act.sure,
    }));
    this.tell();
  }
}
