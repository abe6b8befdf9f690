// Keeping the list: drafts in the browser, one save to the server, clips of what is ticked.

import { all, one, show, store } from '../lib/dom';
import { type Act, type Acts, type Editing, newKey, SECOND } from './model';
import type { Rows } from './rows';
import { fill, type Words } from './words';

interface Answer {
  version: string;
  items: { id: number }[];
}

interface Problem {
  code?: string;
  detail?: string;
}

interface Draft {
  version: string;
  acts: Omit<Act, 'key'>[];
}

export class Saving {
  private busy = false;
  private overwriting = false;
  /** Changes to a list that has changed since: kept until somebody says what becomes of them. */
  private older: Draft | null = null;
  private readonly draft: string;
  private readonly api: string;

  constructor(
    id: string,
    private readonly editing: Editing,
    private readonly rows: Rows,
    private readonly words: Words,
  ) {
    this.draft = `xitai.acts.${id}`;
    this.api = `/api/v1/programmes/${id}/acts`;
    for (const name of ['undo', 'redo']) show(one(`[data-do=${name}]`), true);
    show(one('[data-all-box]'), true);
    one('[data-acts-form]')!.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.save();
    });
    document.getElementById('acts-clips-form')!.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.makeClips();
    });
    one('[data-do=overwrite]')!.addEventListener('click', () => {
      this.overwriting = true;
      void this.save();
    });
    for (const button of all('[data-do=drop-draft]')) {
      button.addEventListener('click', () => {
        store.remove(this.draft);
        window.location.reload();
      });
    }
    one('[data-do=take-draft]')!.addEventListener('click', () => {
      if (this.older) this.putBack(this.older);
    });
    const every = one<HTMLInputElement>('[data-all]')!;
    every.addEventListener('change', () => this.rows.pickAll(every.checked));
    window.addEventListener('beforeunload', (event) => {
      // Kept as a draft where the browser keeps anything; asked about where it does not.
      if (this.editing.dirty && store.get(this.draft) === null) event.preventDefault();
    });
    this.watchClips();
    this.watchAnalysis();
  }

  /** What was changed and not saved is put back, if it is about the list as it still stands; if
   * that has changed, it is for a person to say which one is right. */
  restore(): void {
    const kept = this.kept();
    if (!kept) return;
    if (kept.version === this.editing.version) this.putBack(kept);
    else {
      this.older = kept;
      show(one('[data-draft-older]'), true);
    }
  }

  private kept(): Draft | null {
    try {
      return JSON.parse(store.get(this.draft) ?? 'null') as Draft | null;
    } catch {
      return null; // of another version of this page
    }
  }

  private putBack(kept: Draft): void {
    this.older = null;
    show(one('[data-draft-older]'), false);
    const acts: Acts = kept.acts.map((act) => ({ ...act, key: newKey() }));
    this.editing.selected = acts[0]?.key ?? -1;
    this.editing.set(acts);
    show(one('[data-draft-note]'), true);
  }

  render(): void {
    const { editing, words } = this;
    if (editing.held) return;
    const { dirty, settled } = editing;
    if (dirty) {
      this.older = null;
      show(one('[data-draft-older]'), false);
      const acts = editing.acts.map(({ key: _, ...act }) => act);
      store.set(this.draft, JSON.stringify({ version: editing.version, acts } satisfies Draft));
    } else if (!this.older) store.remove(this.draft);
    const status = one('[data-status]')!;
    const state = this.busy ? 'saving' : dirty ? 'changed' : !editing.acts.length ? 'none' : settled ? 'saved' : 'proposed';
    if (status.dataset.state !== state) {
      status.dataset.state = state;
      status.textContent = words.status[state];
    }
    const save = one<HTMLButtonElement>('[data-do=save]')!;
    save.disabled = this.busy || (settled && !dirty) || state === 'none';
    save.classList.toggle('button-main', !save.disabled);
    // What it would propose anew would take the place of the list that these changes are to.
    const again = one<HTMLButtonElement>('[data-do=again]');
    if (again) again.disabled = dirty;
    one<HTMLButtonElement>('[data-do=undo]')!.disabled = !editing.canUndo;
    one<HTMLButtonElement>('[data-do=redo]')!.disabled = !editing.canRedo;
    const clips = one<HTMLButtonElement>('[data-do=clips]')!;
    const [picked, every] = [this.rows.picked.length, editing.acts.length];
    const word = picked === every ? clips.dataset.every : fill(clips.dataset.one ?? '', { n: picked });
    one('[data-clips-word]')!.textContent = word ?? '';
    clips.disabled = this.busy || picked === 0;
    clips.classList.toggle('button-main', !clips.disabled && save.disabled);
    const box = one<HTMLInputElement>('[data-all]')!;
    box.checked = picked > 0 && picked === every;
    box.indeterminate = picked > 0 && picked < every;
  }

  private refuse(text: string | null, conflict = false): void {
    const box = one('[data-refused]')!;
    show(box, text !== null);
    show(one('[data-conflict]'), conflict);
    one('[data-refused-text]')!.textContent = text ?? '';
    if (text !== null) box.scrollIntoView({ block: 'nearest' });
  }

  private async send(url: string, method: string, body: unknown): Promise<Response | null> {
    const init: RequestInit = { method };
    if (body !== undefined) {
      init.body = JSON.stringify(body);
      init.headers = { 'content-type': 'application/json' };
    }
    return fetch(url, init).catch(() => null);
  }

  /** True when the server has the list as it stands. */
  async save(): Promise<boolean> {
    if (this.busy) return false;
    const { editing } = this;
    this.busy = true;
    this.render();
    const acts = editing.acts;
    try {
      if (this.overwriting) {
        const now = await this.send(this.api, 'GET', undefined);
        if (now?.ok) editing.version = ((await now.json()) as Answer).version;
        this.overwriting = false;
      }
      const items = acts.map((act) => ({
        id: act.id,
        start: act.start / SECOND,
        end: act.end / SECOND,
        title: act.title,
        entry_id: act.entry,
      }));
      const answer = await this.send(this.api, 'PUT', { version: editing.version, items });
      if (!answer?.ok) {
        await this.explain(answer);
        return false;
      }
      const kept = (await answer.json()) as Answer;
      this.refuse(null);
      show(one('[data-draft-note]'), false);
      editing.taken(kept.version, acts, kept.items.map((item) => item.id));
      return true;
    } finally {
      this.busy = false;
      this.render();
    }
  }

  private async explain(answer: Response | null): Promise<void> {
    if (answer?.status === 401) {
      window.location.assign(`/desk/sign-in?next=${encodeURIComponent(window.location.pathname)}`);
      return;
    }
    const problem = answer ? ((await answer.json().catch(() => ({}))) as Problem) : {};
    this.refuse(problem.detail ?? this.words.offline, problem.code === 'acts_changed');
  }

  private async makeClips(): Promise<void> {
    if (!this.editing.settled && !(await this.save())) return;
    const acts = this.rows.picked.map((act) => act.id).filter((id) => id !== null);
    this.busy = true;
    this.render();
    const answer = await this.send(`${this.api}/clips`, 'POST', { acts });
    this.busy = false;
    this.render();
    if (!answer?.ok) {
      await this.explain(answer);
      return;
    }
    this.refuse(null);
    document.getElementById('clips')?.scrollIntoView({ block: 'start' });
  }

  /** The list of clips below is fetched again and again; what it says stands in the rows too. */
  private watchClips(): void {
    const box = one('[data-clips]');
    if (!box) return;
    const look = () => {
      const said = all('[data-act]', box).map((row): [number, string] => [Number(row.dataset.act), row.dataset.state ?? '']);
      this.rows.setClips(new Map(said.filter(([, state]) => state !== 'old')));
    };
    new MutationObserver(look).observe(box, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-state'] });
    look();
  }

  /** Proposals that have come are shown at once, unless something here is not saved yet. */
  private watchAnalysis(): void {
    const box = one('[data-analysis]');
    const state = () => one('[data-analysis-state]', box ?? document)?.dataset.analysisState;
    if (!box || state() !== 'running') return;
    const watcher = new MutationObserver(() => {
      if (state() === 'running') return;
      watcher.disconnect();
      if (state() === 'done' && !this.editing.dirty) window.location.reload();
      else box.classList.add('analysis-fresh');
    });
    watcher.observe(box, { subtree: true, childList: true, attributes: true });
  }
}
