// 剪微视频: the acts of a programme on a timeline and as a list, one model under both.

import { Blocks } from './acts/blocks';
import { Backdrop } from './acts/canvas';
import { type Sound, Storyboard, Wave } from './acts/drawn';
import { Inspector } from './acts/inspector';
import { type Act, actAt, type Edge, Editing, newKey, SECOND, splitAt } from './acts/model';
import { Monitor, wireFlag } from './acts/monitor';
import { Rows } from './acts/rows';
import { Saving } from './acts/saving';
import { Scale } from './acts/scale';
import { clock, exact, fill, read, type Words } from './acts/words';
import { all, one, show } from './lib/dom';

interface Data {
  id: string;
  token: string;
  version: string;
  length: number;
  frame: number;
  hls: string;
  extras: Record<string, { per_second?: number } | undefined>;
  acts: Omit<Act, 'key'>[];
  marks: { at: number; label: string }[];
}

const WIDE = '(min-width: 900px)';
const ASPECT = 16 / 9;

class Page {
  private readonly words = read<Words>('acts-words');
  private readonly editing: Editing;
  private readonly monitor: Monitor;
  private readonly scale: Scale;
  private readonly board = new Storyboard(() => this.pictured());
  private readonly wave = new Wave();
  private readonly backdrop: Backdrop;
  private readonly blocks: Blocks;
  private readonly inspector: Inspector;
  private readonly rows: Rows;
  private readonly saving: Saving;
  private readonly asked = one('.cutter-ask') !== null;
  private readonly wide = window.matchMedia(WIDE);

  constructor(private readonly data: Data) {
    const { words } = this;
    const acts = data.acts.map((act) => ({ ...act, key: newKey() }));
    const editing = (this.editing = new Editing(acts, data.length, data.version));
    editing.selected = acts[0]?.key ?? -1;
    this.monitor = new Monitor(one<HTMLVideoElement>('[data-video]')!, data.hls, data.length, data.frame, {
      moved: (tick) => this.moved(tick),
      playing: (yes) => this.playing(yes),
      flag: wireFlag(one('[data-flag]'), words.flag),
      ready: (yes) => {
        const wait = one('[data-wait]')!;
        if (!yes) wait.textContent = words.broken;
        show(wait, !yes);
      },
    });
    this.scale = new Scale(one('[data-scroll]')!, one('[data-inner]')!, data.length, {
      zoomed: () => this.redraw(),
      scrolled: () => this.backdrop.draw(),
    });
    this.backdrop = new Backdrop(one<HTMLCanvasElement>('[data-canvas]')!, this.scale, this.board, this.wave, ASPECT);
    this.blocks = new Blocks(one('[data-blocks]')!, editing, this.scale, data.frame, words, {
      dragging: (tick, edge) => this.monitor.seek(tick, edge),
      chosen: (key, tick) => {
        editing.select(key);
        this.showRow(key);
        this.monitor.seek(tick);
      },
      preview: (edge) => this.inspector.look(edge),
      joined: () => this.joined,
      sticky: () => [this.monitor.tick, ...data.marks.map((mark) => mark.at)],
    });
    this.inspector = new Inspector(editing, words, {
      look: (edge, tick) => this.look(edge, tick),
      at: (tick, edge) => this.show(tick, edge),
      walk: (by) => this.walk(by),
      joined: () => this.blocks.render(),
    });
    this.rows = new Rows(one('[data-list]')!, editing, this.board, words, {
      open: (key) => this.open(key),
      picked: () => this.saving.render(),
    });
    this.saving = new Saving(data.id, editing, this.rows, words);
    editing.onChange(() => this.render());
    this.wire();
    this.loadDrawn();
    this.saving.restore();
    this.scale.all();
    this.render();
  }

  private get joined(): boolean {
    return this.inspector?.joined ?? true;
  }

  // --- showing ---------------------------------------------------------------------------------

  private redraw(): void {
    if (!this.rows) return; // still being built
    this.backdrop.draw();
    this.blocks.render();
    this.renderMarks();
    this.placeHead(this.monitor.tick);
  }

  private pictured(): void {
    this.backdrop.draw();
    this.rows.render();
  }

  private render(): void {
    this.blocks.render();
    this.rows.render();
    this.inspector.render();
    this.placeInspector();
    this.saving.render();
    this.renderSplit();
    const count = one('[data-count]');
    if (count) count.textContent = String(this.editing.acts.length || '');
  }

  /** Beside the player where there is room, in the list's row on a phone. */
  private placeInspector(): void {
    const side = one('[data-side]')!;
    // The question whether to analyse stands there until there is an act.
    side.classList.toggle('cutter-ask', this.asked && this.editing.acts.length === 0);
    const place = this.wide.matches ? side : this.rows.place(this.editing.selected);
    const { box } = this.inspector;
    if (!place || box.parentElement === place) return;
    const focused = box.contains(document.activeElement) ? (document.activeElement as HTMLElement) : null;
    place.append(box);
    focused?.focus({ preventScroll: true });
  }

  private renderMarks(): void {
    const box = one('[data-marks]')!;
    if (!box.children.length) {
      for (const mark of this.data.marks) {
        // For the pointer; by keys the buttons under the picture go from one to the next.
        const flag = document.createElement('span');
        flag.className = 'flag';
        flag.setAttribute('role', 'img');
        flag.setAttribute('aria-label', `${fill(this.words.mark, { label: mark.label || this.words.unnamed })} ${exact(mark.at)}`);
        flag.title = mark.label;
        flag.addEventListener('click', () => this.show(mark.at));
        box.append(flag);
      }
    }
    this.data.marks.forEach((mark, i) => {
      (box.children[i] as HTMLElement).style.transform = `translateX(${this.scale.x(mark.at)}px)`;
    });
  }

  private placeHead(tick: number): void {
    one('[data-playhead]')!.style.transform = `translateX(${this.scale.x(tick)}px)`;
  }

  private moved(tick: number): void {
    if (!this.rows) return;
    one('[data-now]')!.textContent = this.monitor.playing ? clock(tick) : exact(tick);
    this.placeHead(tick);
    if (this.monitor.playing) this.scale.follow(tick);
    this.renderSplit();
  }

  private playing(yes: boolean): void {
    const button = one('[data-do=play]')!;
    button.dataset.play ??= button.getAttribute('aria-label') ?? '';
    button.setAttribute('aria-label', (yes ? button.dataset.pause : button.dataset.play) ?? '');
    for (const face of all('[data-when]', button)) show(face, (face.dataset.when === 'playing') === yes);
    if (!yes) this.moved(this.monitor.tick);
  }

  private renderSplit(): void {
    const button = one<HTMLButtonElement>('[data-do=split]')!;
    const inside = actAt(this.editing.acts, this.monitor.tick) >= 0;
    const word = one('[data-split-word]', button)!;
    const text = (inside ? button.dataset.split : button.dataset.add) ?? '';
    if (word.textContent !== text) word.textContent = text;
    button.disabled = splitAt(this.editing.acts, this.monitor.tick, this.data.length) === null;
  }

  // --- doing -----------------------------------------------------------------------------------

  private show(tick: number, edge?: Edge): void {
    this.monitor.seek(tick, edge);
    this.scale.follow(tick, 0.5);
  }

  private look(edge: Edge, tick: number): void {
    this.scale.follow(tick, 0.5);
    this.monitor.look(edge, tick);
  }

  private open(key: number): void {
    // On a phone a second press closes it again.
    const again = key === this.editing.selected && !this.wide.matches;
    this.editing.select(again ? -1 : key);
    if (again) return;
    const act = this.editing.acts[this.editing.at];
    if (act) this.show(act.start, 'start');
    if (this.wide.matches) one('[data-cutter]')?.scrollIntoView({ block: 'start' });
    this.showRow(key);
  }

  /** On a phone an act is edited in its row; elsewhere the page stays where it is. */
  private showRow(key: number): void {
    if (!this.wide.matches) this.rows.show(key, one('.cutter-player')?.offsetHeight ?? 0);
  }

  private walk(by: number): void {
    const act = this.editing.acts[this.editing.at + by];
    if (!act) return;
    this.editing.select(act.key);
    this.show(act.start, 'start');
    this.showRow(act.key);
  }

  private split(): void {
    const made = splitAt(this.editing.acts, this.monitor.tick, this.data.length);
    if (!made) return;
    this.editing.selected = made[1];
    this.editing.set(made[0]);
    this.showRow(made[1]);
  }

  /** To the next cut or mark, or the one before. */
  private jump(by: 1 | -1): void {
    const edges = this.editing.acts.flatMap((act) => [act.start, act.end]);
    const cuts = [...edges, ...this.data.marks.map((mark) => mark.at)].sort((a, b) => a - b);
    const near = SECOND / 20;
    const now = this.monitor.tick;
    const goal = by > 0 ? cuts.find((c) => c > now + near) : cuts.reverse().find((c) => c < now - near);
    if (goal !== undefined) this.show(goal);
  }

  private zoomAct(): void {
    const act = this.editing.acts[this.editing.at];
    if (act) this.scale.stretch(act.start, act.end);
  }

  private wire(): void {
    const deeds: Record<string, () => void> = {
      play: () => this.monitor.toggle(),
      split: () => this.split(),
      'cut-before': () => this.jump(-1),
      'cut-after': () => this.jump(1),
      'zoom-in': () => this.scale.zoomIn(this.monitor.tick),
      'zoom-out': () => this.scale.zoomOut(this.monitor.tick),
      'zoom-act': () => this.zoomAct(),
      'zoom-all': () => this.scale.all(),
      undo: () => this.editing.undo(),
      redo: () => this.editing.redo(),
    };
    for (const [deed, act] of Object.entries(deeds)) {
      one(`[data-do=${deed}]`)?.addEventListener('click', act);
    }
    this.wide.addEventListener?.('change', () => this.render());
    const inner = one('[data-inner]')!;
    inner.addEventListener('click', (event) => {
      if (!(event.target as HTMLElement).closest('.block, .flag')) this.monitor.seek(this.scale.tick(event.clientX));
    });
    document.addEventListener('keydown', (event) => this.key(event));
  }

  private key(event: KeyboardEvent): void {
    const on = event.target as HTMLElement;
    const typing = on.closest('input:not([type=checkbox]), textarea, select') !== null;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z' && !typing) {
      event.preventDefault();
      if (event.shiftKey) this.editing.redo();
      else this.editing.undo();
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || on.closest('dialog')) return;
    if (event.key === ' ' && !on.closest('button, a, summary, [type=checkbox]')) {
      event.preventDefault();
      this.monitor.toggle();
    }
  }

  // --- what it is drawn from -------------------------------------------------------------------

  private loadDrawn(): void {
    const { extras, token, id } = this.data;
    if (extras.storyboard) void this.board.load(`/hls/${token}/storyboard.vtt`);
    const drawn = `/desk/programmes/${id}/drawn`;
    if (extras.waveform) {
      const perSecond = extras.waveform.per_second ?? 10;
      void this.wave.load(`${drawn}/waveform`, perSecond).then(() => this.backdrop.draw());
    }
    if (extras.analysis) void this.loadSounds(`${drawn}/analysis`);
  }

  private async loadSounds(url: string): Promise<void> {
    const answer = await fetch(url).catch(() => null);
    if (!answer?.ok) return;
    this.backdrop.sounds = ((await answer.json()) as { sounds?: Sound[] }).sounds ?? [];
    show(one('[data-legend]'), this.backdrop.sounds.length > 0);
    this.backdrop.draw();
  }
}

const data = read<Data | null>('acts-data');
if (data) new Page(data);
