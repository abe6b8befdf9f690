// What a replay's page knows of its inside: small pictures on the scrubber, the programme to jump in.

import { all, one, show } from './dom';

/** Small pictures for the scrubber: media-chrome looks for a track of this name. Fetched only once
 *  somebody watches: who came for a look pays for nothing. */
export function addThumbnails(video: HTMLVideoElement, url: string): void {
  if (one('track[label=thumbnails]', video)) return;
  const track = document.createElement('track');
  track.kind = 'metadata';
  track.label = 'thumbnails';
  track.src = url;
  track.default = true;
  video.append(track);
  track.track.mode = 'hidden';
}

interface Line {
  button: HTMLButtonElement;
  from: number;
  until: number;
}

/** 节目单 under the player. */
export class Chapters {
  private readonly lines: Line[];
  private readonly word: string;
  private marked: Line | null = null;

  constructor(
    private readonly video: HTMLVideoElement,
    jump: (seconds: number) => void,
  ) {
    const list = one('[data-chapters]');
    this.word = list?.dataset.now ?? '';
    this.lines = list
      ? all<HTMLButtonElement>('[data-at]', list).map((button) => ({
          button,
          from: Number(button.dataset.at),
          until: Number(button.dataset.until),
        }))
      : [];
    for (const line of this.lines) line.button.addEventListener('click', () => jump(line.from));
    // The scrubber shows where they begin.
    if (this.lines.length && 'VTTCue' in window) {
      const track = video.addTextTrack('chapters');
      for (const { button, from, until } of this.lines) {
        track.addCue(new VTTCue(from, until, one('.chapter-title', button)?.textContent ?? ''));
      }
    }
  }

  /** Mark the one that plays; ``playing``: somebody watches at all. */
  mark(playing: boolean): void {
    const at = this.video.currentTime + 0.05;
    const now = playing ? this.lines.find((line) => line.from <= at && at < line.until) : undefined;
    if (this.marked === (now ?? null)) return;
    this.marked = now ?? null;
    for (const line of this.lines) {
      const current = line === now;
      if (current) line.button.setAttribute('aria-current', 'true');
      else line.button.removeAttribute('aria-current');
      const note = one('[data-chapter-now]', line.button);
      if (note) note.textContent = current ? this.word : '';
      show(note, current);
    }
  }
}
