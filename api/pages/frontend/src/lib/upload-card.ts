// One file on its way, as the page shows it.

import { one, show } from './dom';
import { filled, left, size, type Words } from './upload-words';

export type Act = 'pause' | 'go' | 'cancel';

const THUMB = 112;
const LARGEST_PICTURE = 40 << 20;
const MOST_THUMBS = 40;
const MOST_FILMS = 6;
let thumbs = 0;
let films = 0;
/** One picture is decoded at a time: forty of a good camera's at once are more memory than a phone
 *  has. */
let decoding: Promise<void> = Promise.resolve();

async function drawn(file: File): Promise<HTMLCanvasElement> {
  const picture = await createImageBitmap(file, { resizeWidth: THUMB * 2, resizeQuality: 'low' });
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = THUMB;
  const edge = Math.min(picture.width, picture.height);
  const [x, y] = [(picture.width - edge) / 2, (picture.height - edge) / 2];
  canvas.getContext('2d')?.drawImage(picture, x, y, edge, edge, 0, 0, THUMB, THUMB);
  picture.close();
  return canvas;
}

export class Card {
  readonly element: HTMLElement;

  constructor(
    template: HTMLTemplateElement,
    private readonly words: Words,
    file: File,
    photo: boolean,
    onAct: (act: Act) => void,
  ) {
    const made = template.content.firstElementChild!.cloneNode(true) as HTMLElement;
    this.element = made;
    this.put('name', file.name);
    this.put('size', size(file.size));
    for (const [act, word] of [['pause', 'pause'], ['go', 'go_on'], ['cancel', 'cancel']] as const) {
      const button = this.button(act);
      one('span', button!)!.textContent = words[word] ?? '';
      button?.addEventListener('click', () => onAct(act));
    }
    this.thumb(file, photo);
  }

  state(word: string, facts: Record<string, string | number> = {}): void {
    this.put('state', filled(this.words, word, facts));
  }

  /** Which buttons make sense, and what "go on" is called. */
  acts(pause: boolean, go: string | null, cancel: boolean): void {
    show(this.button('pause'), pause);
    const button = this.button('go');
    show(button, go !== null);
    if (go && button) one('span', button)!.textContent = this.words[go] ?? '';
    show(this.button('cancel'), cancel);
    this.element.classList.toggle('file-still', !pause);
  }

  progress(sent: number, total: number, speed: number): void {
    const share = total ? sent / total : 0;
    const bar = one<HTMLProgressElement>('[data-bar]', this.element);
    if (bar) bar.value = share;
    const percent = `${Math.floor(share * 100)}%`;
    const fast = speed > 0 ? ` · ${filled(this.words, 'speed', { speed: size(speed) })}` : '';
    this.put('far', `${percent} · ${size(sent)}${fast}`);
    this.put('left', speed > 0 && sent < total ? left(this.words, (total - sent) / speed) : '');
  }

  still(): void {
    this.put('left', '');
  }

  done(): void {
    this.element.classList.add('file-done');
    this.element.classList.remove('file-still');
  }

  error(sentence: string | null): void {
    const box = one('[data-error]', this.element);
    show(box, sentence !== null);
    if (box) one('span', box)!.textContent = sentence ?? '';
  }

  private put(name: string, text: string): void {
    const place = one(`[data-${name}]`, this.element);
    if (place && place.textContent !== text) place.textContent = text;
  }

  private button(act: Act): HTMLButtonElement | null {
    return one<HTMLButtonElement>(`[data-act=${act}]`, this.element);
  }

  /** A picture's own small self; a film shows its first second. Only while it costs little. */
  private thumb(file: File, photo: boolean): void {
    const box = one('[data-thumb]', this.element)!;
    const icon = one<HTMLTemplateElement>(`template[data-icon=${photo ? 'photo' : 'recording'}]`);
    if (icon) box.append(icon.content.cloneNode(true));
    if (photo && file.size < LARGEST_PICTURE && thumbs < MOST_THUMBS) {
      thumbs++;
      decoding = decoding.then(() => drawn(file)).then(
        (canvas) => box.replaceChildren(canvas),
        () => undefined, // the icon stays
      );
    } else if (!photo && films < MOST_FILMS) {
      films++;
      const video = document.createElement('video');
      video.muted = true;
      video.preload = 'metadata';
      const url = URL.createObjectURL(file);
      video.src = url;
      video.addEventListener('loadeddata', () => box.replaceChildren(video), { once: true });
      video.addEventListener('loadedmetadata', () => (video.currentTime = Math.min(1, video.duration / 2)));
      video.addEventListener('error', () => URL.revokeObjectURL(url), { once: true });
    }
  }
}
