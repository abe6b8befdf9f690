// One act under the hand: its name, its two ends, why it begins there. Beside the player where there
// is room, inside the list's row on a phone.

import { all, one, show } from '../lib/dom';
import { type Edge, type Editing, mergeNext, moveEdge, remove, rename, SECOND } from './model';
import { clock, exact, fill, parse, type Words } from './words';

export interface InspectorEvents {
  look(edge: Edge, tick: number): void;
  at(tick: number, edge: Edge): void;
  walk(by: number): void;
  /** Neighbours come along now, or no longer. */
  joined(): void;
}

export class Inspector {
  readonly box: HTMLElement;

  constructor(
    private readonly editing: Editing,
    private readonly words: Words,
    private readonly events: InspectorEvents,
  ) {
    const template = document.getElementById('act-inspector') as HTMLTemplateElement;
    this.box = template.content.firstElementChild!.cloneNode(true) as HTMLElement;
    this.wire();
  }

  private part<T extends HTMLElement>(selector: string): T | null {
    return one<T>(selector, this.box);
  }

  private wire(): void {
    const name = this.part<HTMLInputElement>('[data-name]')!;
    name.addEventListener('input', () => this.name(name.value, this.entryOf(name.value)));
    const entry = this.part<HTMLSelectElement>('[data-entry]');
    entry?.addEventListener('change', () => {
      const chosen = entry.selectedOptions[0];
      if (chosen?.value) this.name(chosen.dataset.title ?? '', Number(chosen.value));
    });
    for (const field of all<HTMLInputElement>('[data-clock]', this.box)) {
      const typed = () => {
        const tick = parse(field.value);
        const act = this.editing.acts[this.editing.at];
        const edge = field.dataset.clock as Edge;
        // A time shown rounded and left as it was moves nothing.
        if (tick !== null && act && field.value.trim() !== exact(act[edge])) this.move(edge, tick);
        this.render();
      };
      field.addEventListener('change', typed);
      field.addEventListener('keydown', (event) => {
        if (event.key === 'Enter') event.preventDefault();
        if (event.key === 'Enter') typed();
      });
    }
    for (const button of all('[data-nudge]', this.box)) {
      const edge = button.dataset.nudge as Edge;
      const by = Math.round(Number(button.dataset.by) * SECOND);
      button.addEventListener('click', () => {
        const act = this.editing.acts[this.editing.at];
        if (act) this.move(edge, act[edge] + by, `nudge-${act.key}-${edge}`);
      });
    }
    for (const button of all('[data-preview]', this.box)) {
      button.addEventListener('click', () => this.look(button.dataset.preview as Edge));
    }
    this.part('[data-joined]')!.addEventListener('change', () => this.events.joined());
    const deeds: Record<string, () => void> = {
      merge: () => this.editing.set(mergeNext(this.editing.acts, this.editing.at)),
      delete: () => this.drop(),
      before: () => this.events.walk(-1),
      after: () => this.events.walk(1),
    };
    for (const [deed, act] of Object.entries(deeds)) {
      this.part(`[data-do=${deed}]`)?.addEventListener('click', act);
    }
  }

  /** Whether a neighbour that touches an edge moves with it. */
  get joined(): boolean {
    return this.part<HTMLInputElement>('[data-joined]')!.checked;
  }

  look(edge: Edge): void {
    const act = this.editing.acts[this.editing.at];
    if (act) this.events.look(edge, act[edge]);
  }

  private entryOf(title: string): number | null {
    const options = this.part<HTMLSelectElement>('[data-entry]')?.options ?? [];
    const found = Array.from(options).find((option) => option.value && option.dataset.title === title.trim());
    return found ? Number(found.value) : null;
  }

  private name(title: string, entry: number | null): void {
    const { at, acts } = this.editing;
    if (at >= 0) this.editing.set(rename(acts, at, title, entry), `name-${acts[at]!.key}`);
  }

  private move(edge: Edge, tick: number, tag = ''): void {
    const { at, acts, length } = this.editing;
    if (at < 0) return;
    const next = moveEdge(acts, at, edge, tick, this.joined, length);
    this.editing.set(next, tag);
    this.events.at(next[at]![edge], edge);
  }

  private drop(): void {
    const { at, acts } = this.editing;
    if (at < 0) return;
    const next = remove(acts, at);
    this.editing.selected = (next[at] ?? next[at - 1])?.key ?? -1;
    this.editing.set(next);
  }

  render(): void {
    const { at, acts } = this.editing;
    const act = acts[at];
    show(this.box, act !== undefined);
    if (!act) return;
    this.part('[data-heading]')!.textContent = fill(this.words.of, { n: at + 1, all: acts.length });
    const sure = this.part('[data-sure]')!;
    sure.textContent = this.words.sure[act.sure] ?? '';
    sure.dataset.sure = act.sure;
    const name = this.part<HTMLInputElement>('[data-name]')!;
    if (name.value !== act.title) name.value = act.title;
    name.placeholder = fill(this.words.piece, { n: at + 1 });
    this.renderEntries(act.entry);
    for (const field of all<HTMLInputElement>('[data-clock]', this.box)) {
      if (document.activeElement !== field || parse(field.value) !== null) {
        field.value = exact(act[field.dataset.clock as Edge]);
      }
    }
    const lasts = fill(this.words.lasts, { time: clock(act.end - act.start) });
    this.part('[data-lasts]')!.textContent = lasts;
    this.part('[data-because]')!.textContent = act.because;
    this.part<HTMLButtonElement>('[data-do=merge]')!.disabled = at === acts.length - 1;
    this.part<HTMLButtonElement>('[data-do=before]')!.disabled = at === 0;
    this.part<HTMLButtonElement>('[data-do=after]')!.disabled = at === acts.length - 1;
  }

  private renderEntries(entry: number | null): void {
    const select = this.part<HTMLSelectElement>('[data-entry]');
    if (!select) return;
    const used = new Set(this.editing.acts.map((act) => act.entry));
    Array.from(select.options).forEach((option, i) => {
      if (!option.value) return;
      const taken = used.has(Number(option.value)) && Number(option.value) !== entry;
      option.textContent = `${i}. ${option.dataset.title ?? ''}${taken ? this.words.used : ''}`;
    });
    select.value = entry === null ? '' : String(entry);
  }
}
