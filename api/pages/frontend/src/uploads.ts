// 上传: files chosen or dropped go up, a few at a time, and go on wherever they were cut.

import { all, one, show } from './lib/dom';
import { Sending, type Place } from './lib/sending';
import { WholeSums } from './lib/sums';
import { filled, size, type Words } from './lib/upload-words';

const AT_ONCE = 2;
const PICTURES = /\.(jpe?g|png|webp)$/i;

interface Awaited {
  file_name: string;
  size_bytes: number;
  upload_path: string | null;
  broadcast_id: string | null;
  exhibition_id: string | null;
}

function begin(box: HTMLElement): void {
  const { words: json = '{}', endpoint = '', list = '', sums = '', preset, presetId = '' } = box.dataset;
  const words = JSON.parse(json) as Words;
  const cards = one('[data-cards]', box)!;
  const centre = one<HTMLSelectElement>('[data-centre]', box);
  const sendings: Sending[] = [];
  let awaited: Promise<Awaited[]> | null = null;
  /** Of those that have come and stand in the list below. */
  const came = { files: 0, bytes: 0 };
  let drawing = 0;

  const place: Place = {
    endpoint: new URL(endpoint, location.href).href,
    sums: new WholeSums(sums),
    words,
    key: preset ? `${preset}:${presetId}` : '',
    template: one<HTMLTemplateElement>('template[data-card]', box)!,
    metadata: () => ({
      ...(centre ? { centre: centre.value } : {}),
      ...(preset ? { [preset]: presetId } : {}),
    }),
    known: async (file) => {
      awaited ??= fetch(list)
        .then((answer) => (answer.ok ? answer.json() : { items: [] }))
        .then((answer: { items: Awaited[] }) => answer.items)
        .catch(() => []);
      // By name and length: that it is the same file its sum says in the end.
      const here = preset ? presetId : null;
      const same = (await awaited).find(
        (u) => u.file_name === shown(file.name) && u.size_bytes === file.size && (u.broadcast_id ?? u.exhibition_id) === here,
      );
      return same?.upload_path ? new URL(same.upload_path, location.href).href : null;
    },
    changed: () => {
      pump();
      // Of hundreds of files something changes at every moment.
      drawing ||= window.setTimeout(() => {
        drawing = 0;
        redraw();
        hideTwice();
      }, 100);
    },
  };

  function pump(): void {
    let busy = sendings.filter((s) => s.stage === 'sending' || s.stage === 'waiting').length;
    for (const sending of sendings) {
      if (busy >= AT_ONCE) return;
      if (sending.stage !== 'queued') continue;
      busy++;
      void sending.start();
    }
  }

  function redraw(): void {
    const cards = sendings.filter((s) => s.stage !== 'gone');
    show(one('[data-sending]', box), cards.length > 0);
    const sum = (pick: (s: Sending) => number) => cards.reduce((n, s) => n + pick(s), came.bytes);
    const total = one('[data-total]', box);
    const done = came.files + cards.filter((s) => s.stage === 'done').length;
    const whole = came.files + cards.length;
    const text = whole > 1 ? `${done} / ${whole} · ${size(sum((s) => s.sent))} / ${size(sum((s) => s.file.size))}` : '';
    if (total && total.textContent !== text) total.textContent = text;
    keepAwake(cards.some((s) => s.stage === 'sending' || s.stage === 'waiting'));
  }

  /** What is going up here is not also listed as waiting below; what has come is not kept above. */
  function hideTwice(): void {
    const here = new Map(sendings.filter((s) => s.id && s.stage !== 'gone').map((s) => [s.id, s]));
    for (const row of all('[data-upload]')) {
      const sending = here.get(row.dataset.upload ?? '');
      const coming = row.dataset.stage === 'receiving';
      row.hidden = coming && sending !== undefined;
      if (sending?.stage === 'done' && !coming) {
        sending.card.element.remove();
        sendings.splice(sendings.indexOf(sending), 1);
        came.files += 1;
        came.bytes += sending.file.size;
      }
    }
    show(one('[data-unfinished]', box), all('[data-came] [data-stage=receiving] label').some((e) => !e.closest<HTMLElement>('[data-upload]')!.hidden));
    if (sendings.some((s) => s.stage !== 'gone')) return;
    show(one('[data-sending]', box), false);
    came.files = came.bytes = 0;
  }

  function refusal(file: File, photo: boolean): string | null {
    if (!file.size) return words.empty ?? '';
    if (preset === 'exhibition' && !photo) return words.not_photo ?? '';
    const most = Number(photo ? box.dataset.photoMax : box.dataset.recordingMax);
    return file.size > most ? filled(words, 'too_large', { size: size(file.size), most: size(most) }) : null;
  }

  function take(files: FileList | null): void {
    awaited = null;
    for (const file of Array.from(files ?? [])) {
      const same = (s: Sending) => s.file.name === file.name && s.file.size === file.size && s.file.lastModified === file.lastModified;
      const going = sendings.find((s) => same(s) && !['gone', 'done'].includes(s.stage));
      if (going) {
        if (['paused', 'failed', 'waiting'].includes(going.stage)) void going.start();
        continue;
      }
      const photo = file.type.startsWith('image/') || PICTURES.test(file.name);
      const sending = new Sending(file, photo, place);
      cards.append(sending.card.element);
      const why = refusal(file, photo);
      if (why) {
        sending.stage = 'failed';
        sending.card.state('failed');
        sending.card.acts(false, null, true);
        sending.card.error(why);
      }
      sendings.push(sending);
    }
    pump();
    redraw();
  }

  wireChoosing(box, take);
  window.setInterval(() => sendings.forEach((s) => s.watch()), 5_000);
  window.addEventListener('online', () => sendings.forEach((s) => s.hurry()));
  document.body.addEventListener('htmx:after:swap', hideTwice);
  new MutationObserver(hideTwice).observe(one('[data-came]')!, { childList: true, subtree: true });
  window.addEventListener('beforeunload', (event) => {
    if (sendings.some((s) => s.stage === 'sending' || s.stage === 'queued')) event.preventDefault();
  });
  show(box, true);
}

/** A file's name as the server shows it (`catalog.uploads.clean_name`), but for the rarest of them. */
function shown(name: string): string {
  return name.normalize('NFC').replace(/\s+/g, ' ').trim();
}

function wireChoosing(box: HTMLElement, take: (files: FileList | null) => void): void {
  const pick = one<HTMLInputElement>('[data-pick]', box)!;
  pick.addEventListener('change', () => {
    take(pick.files);
    pick.value = ''; // the same file may be chosen again
  });
  const drop = one('[data-drop]', box)!;
  let depth = 0;
  const over = (by: number) => {
    depth = Math.max(0, depth + by);
    drop.classList.toggle('drop-over', depth > 0);
  };
  // Anywhere on the page: a file let go beside the box would else replace the page.
  window.addEventListener('dragenter', () => over(1));
  window.addEventListener('dragleave', () => over(-1));
  window.addEventListener('dragover', (event) => event.preventDefault());
  window.addEventListener('drop', (event) => {
    event.preventDefault();
    over(-depth);
    take(event.dataTransfer?.files ?? null);
  });
}

let lock: { release(): Promise<void> } | null = null;

/** A phone that sleeps sends nothing. */
function keepAwake(wanted: boolean): void {
  const wake = (navigator as { wakeLock?: { request(kind: 'screen'): Promise<typeof lock> } }).wakeLock;
  if (wanted && !lock && wake && document.visibilityState === 'visible') {
    wake.request('screen').then((got) => (lock = got), () => undefined);
  } else if (!wanted && lock) {
    void lock.release();
    lock = null;
  }
}

const box = one('[data-uploads]');
if (box) begin(box);
