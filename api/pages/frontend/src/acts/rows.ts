// The acts as a list: what is made into clips is ticked here, and on a phone it is edited here.

import { one, show } from '../lib/dom';
import type { Storyboard } from './drawn';
import type { Act, Editing } from './model';
import { clock, fill, type Words } from './words';

interface Row {
  box: HTMLElement;
  pick: HTMLInputElement;
  drawn: number;
}

export class Rows {
  private readonly made = new Map<number, Row>();
  private readonly unpicked = new Set<number>();
  private readonly none: HTMLElement;
  /** Act id → what became of its clip. */
  private clips = new Map<number, string>();

  constructor(
    private readonly box: HTMLElement,
    private readonly editing: Editing,
    private readonly board: Storyboard,
    private readonly words: Words,
    private readonly events: { open(key: number): void; picked(): void },
  ) {
    box.textContent = '';
    box.classList.add('acts-live');
    const empty = document.getElementById('act-none') as HTMLTemplateElement;
    this.none = document.createElement('li');
    this.none.append(empty.content.cloneNode(true));
    box.append(this.none);
  }

  /** The acts to be made into clips, in order. */
  get picked(): Act[] {
    return this.editing.acts.filter((act) => !this.unpicked.has(act.key));
  }

  pickAll(yes: boolean): void {
    this.unpicked.clear();
    if (!yes) for (const act of this.editing.acts) this.unpicked.add(act.key);
    this.render();
    this.events.picked();
  }

  setClips(clips: Map<number, string>): void {
    this.clips = clips;
    this.render();
  }

  place(key: number): HTMLElement | null {
    const row = this.made.get(key);
    return row ? one('[data-place]', row.box) : null;
  }

  /** Bring a row to where it can be seen, under what stays at the window's top. */
  show(key: number, under: number): void {
    const row = this.made.get(key)?.box;
    if (row) window.scrollBy(0, row.getBoundingClientRect().top - under - 8);
  }

  render(): void {
    const { acts, selected } = this.editing;
    show(this.none, acts.length === 0);
    const left = new Set(this.made.keys());
    acts.forEach((act, at) => {
      const row = this.made.get(act.key) ?? this.make(act.key);
      left.delete(act.key);
      if (this.box.children[at + 1] !== row.box) this.box.insertBefore(row.box, this.box.children[at + 1] ?? null);
      this.fill(row, act, at, act.key === selected);
    });
    for (const key of left) {
      this.made.get(key)?.box.remove();
      this.made.delete(key);
    }
  }

  private make(key: number): Row {
    const template = document.getElementById('act-row') as HTMLTemplateElement;
    const box = template.content.firstElementChild!.cloneNode(true) as HTMLElement;
    const pick = one<HTMLInputElement>('[data-pick]', box)!;
    pick.addEventListener('change', () => {
      if (pick.checked) this.unpicked.delete(key);
      else this.unpicked.add(key);
      this.events.picked();
    });
    one('[data-open]', box)!.addEventListener('click', () => this.events.open(key));
    const row = { box, pick, drawn: -1 };
    this.made.set(key, row);
    return row;
  }

  private fill(row: Row, act: Act, at: number, on: boolean): void {
    const { box } = row;
    const put = (name: string, text: string) => {
      const part = one(`[data-${name}]`, box)!;
      if (part.textContent !== text) part.textContent = text;
    };
    const name = act.title || fill(this.words.piece, { n: at + 1 });
    box.classList.toggle('act-on', on);
    one('[data-open]', box)!.setAttribute('aria-expanded', String(on));
    row.pick.checked = !this.unpicked.has(act.key);
    put('pick-word', fill(this.words.pick, { n: at + 1 }));
    put('number', String(at + 1));
    put('title', name);
    put('range', `${clock(act.start)} – ${clock(act.end)}`);
    put('long', clock(act.end - act.start));
    const clip = act.id === null || act.sure !== 'confirmed' ? undefined : this.clips.get(act.id);
    const sure = one('.act-line [data-sure]', box)!;
    sure.dataset.sure = clip ?? act.sure;
    sure.textContent = clip ? (this.words.clip as Record<string, string>)[clip] ?? '' : this.words.sure[act.sure] ?? '';
    this.thumb(row, act);
  }

  private thumb(row: Row, act: Act): void {
    // Not the very first frame: between acts it is often black.
    const tick = act.start + Math.min(3 * 90_000, (act.end - act.start) / 3);
    if (row.drawn === tick) return;
    const canvas = one<HTMLCanvasElement>('[data-thumb]', row.box)!;
    const to = canvas.getContext('2d');
    if (to && this.board.draw(to, tick, 0, 0, canvas.width, canvas.height)) row.drawn = tick;
  }
}
