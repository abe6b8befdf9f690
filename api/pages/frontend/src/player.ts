// The player of the watch page, the clip page and the desk's monitor.

import './lib/chrome';
import 'media-chrome/dist/media-controller.js';
import 'media-chrome/dist/media-control-bar.js';
import 'media-chrome/dist/media-play-button.js';
import 'media-chrome/dist/media-live-button.js';
import 'media-chrome/dist/media-time-range.js';
import 'media-chrome/dist/media-time-display.js';
import 'media-chrome/dist/media-mute-button.js';
import 'media-chrome/dist/media-fullscreen-button.js';
import 'media-chrome/dist/media-loading-indicator.js';
import Hls from 'hls.js/light';
import { addThumbnails, Chapters } from './lib/chapters';
import { all, jitter, one, show, store } from './lib/dom';
import { Engine, type Saver, type Source } from './lib/engine';
import { wireFresh } from './lib/fresh';
import { Plays } from './lib/plays';

type AirState = 'waiting' | 'live' | 'interrupted' | 'ended';
/** live: at the edge; dvr: on air, watched from its start; replay: over. */
type Kind = 'live' | 'dvr' | 'replay';

interface PublicState {
  state: AirState;
  viewers: number;
  title: string;
  starts_at: string | null;
  hls_url: string;
  poster_url: string | null;
  replay_hls_url: string | null;
}

interface Stats {
  kind: Kind;
  state: AirState;
  /** Milliseconds from arrival at the ingest to this screen; null when it cannot be known. */
  latency: number | null;
  bufferedEnd: number;
  position: number;
  droppedFrames: number;
  level: number;
  rendition: string;
  stalls: number;
}

interface XitaiPlayer {
  readonly hls: Hls | null;
  readonly video: HTMLVideoElement;
  stats(): Stats;
}

declare global {
  interface Window {
    xitaiPlayer?: XitaiPlayer;
  }
}

const POLL_MS = 10_000;
const POLL_SOON_MS = 3_000;
const POLL_HIDDEN_MS = 30_000;
const REST_AFTER_MS = 60_000;
const SAVER = 'xitai.saver';

async function ask(url: string): Promise<PublicState | null> {
  try {
    const answer = await fetch(url, { headers: { accept: 'application/json' } });
    // Taken down: what is buffered goes too, and the page itself says what happened.
    if (answer.status === 410) window.location.reload();
    return answer.ok ? ((await answer.json()) as PublicState) : null;
  } catch {
    return null;
  }
}

class Player {
  private readonly video: HTMLVideoElement;
  private readonly engine: Engine;
  private readonly plays: Plays | null;
  private readonly chapters: Chapters | null;
  private readonly data: DOMStringMap;
  private kind: Kind;
  private state: AirState;
  private saver: Saver = 'auto';
  private begun = false;
  private struggling = false;
  private stalls = 0;
  private movedAt = performance.now();
  private lastTime = 0;
  private restTimer = 0;
  private pollTimer = 0;
  private bytes = 0;
  private seconds = 0;
  private ownSeek = true;
  private drained = false;
  /** The show ended while it was being watched: say so before offering it again. */
  private curtain = false;

  constructor(private readonly box: HTMLElement) {
    this.data = box.dataset;
    this.video = one<HTMLVideoElement>('video', box)!;
    this.video.removeAttribute('controls');
    this.state = this.data.state as AirState;
    this.kind = this.state === 'ended' ? 'replay' : 'live';
    this.engine = new Engine(this.video, {
      struggling: (yes) => this.onStruggling(yes),
      stall: () => this.onStall(),
      levels: () => this.onLevels(),
    });
    if (!Engine.usable(this.video)) {
      show(this.part('unsupported'), true);
      this.plays = this.chapters = null;
      return;
    }
    this.plays =
      'counts' in this.data
        ? new Plays(this.data.item ?? '', this.video, () => this.present(), () => this.engine.network)
        : null;
    this.chapters = new Chapters(this.video, (seconds) => this.jump(seconds));
    this.listen();
    this.wireControls();
    this.engine.open(this.source(this.kind === 'live' ? -1 : 0));
    this.render();
    window.setInterval(() => this.tick(), 500);
    this.pollIn(this.state === 'interrupted' ? POLL_SOON_MS : POLL_MS);
  }

  get hls(): Hls | null {
    return this.engine.hls;
  }

  expose(): XitaiPlayer {
    const { engine, video } = this;
    return {
      get hls() {
        return engine.hls;
      },
      video,
      stats: () => this.stats(),
    };
  }

  private stats(): Stats {
    const { video } = this;
    const playing = this.hls?.playingDate;
    return {
      kind: this.kind,
      state: this.state,
      latency: playing ? Date.now() - playing.getTime() : null,
      bufferedEnd: video.buffered.length ? video.buffered.end(video.buffered.length - 1) : 0,
      position: video.currentTime,
      droppedFrames: video.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0,
      level: this.hls?.currentLevel ?? -1,
      rendition: this.engine.rendition,
      stalls: this.stalls,
    };
  }

  private present() {
    const stats = this.stats();
    return {
      position_ms: Math.round(stats.position * 1000),
      live: this.kind === 'live',
      rendition: this.saver === 'sound' ? 'audio' : stats.rendition,
      buffered_ms: Math.max(0, Math.round((stats.bufferedEnd - stats.position) * 1000)),
    };
  }

  private part(name: string): HTMLElement | null {
    return one(`[data-show="${name}"]`, this.box);
  }

  /** The address for what is watched now, how, and from where. */
  private source(at: number): Source {
    const { hls = '', plain, replay, audio, audioReplay } = this.data;
    const live = this.kind === 'live';
    let url = live ? hls : replay || hls;
    // Players without MSE and not Apple's stumble over low-latency parts.
    const apple = /iP(hone|ad|od)|Macintosh/.test(navigator.userAgent);
    if (live && plain && !Hls.isSupported() && !apple) url = plain;
    if (this.saver === 'sound') url = (live ? audio : audioReplay) || url;
    return { url, live, at };
  }

  private listen(): void {
    const { video } = this;
    video.addEventListener('play', () => this.onPlay());
    video.addEventListener('pause', () => this.onPause());
    video.addEventListener('ended', () => this.onEnded());
    video.addEventListener('seeking', () => {
      if (!this.ownSeek && this.kind !== 'live') this.plays?.sought();
    });
    one('[data-play]', this.box)?.addEventListener('click', () => this.play());
    one('[data-replay-start]', this.box)?.addEventListener('click', () => this.play());
  }

  private wireControls(): void {
    const bar = one('[data-player-controls]');
    if (!bar) return;
    show(bar, true);
    one('[data-to-live]', bar)?.addEventListener('click', () => this.goTo('live', -1));
    one('[data-from-start]', bar)?.addEventListener('click', () => this.goTo('dvr', 0));
    const kept = store.get(SAVER);
    const silent = !this.data.audio && !this.data.audioReplay;
    show(one('[data-sound-choice]', bar), !silent);
    for (const radio of all<HTMLInputElement>('[name=saver]', bar)) {
      if (radio.value === kept && !(silent && kept === 'sound')) {
        radio.checked = true;
        this.saver = kept as Saver;
      }
      radio.addEventListener('change', () => this.setSaver(radio.value as Saver));
    }
    this.engine.setSaver(this.saver);
  }

  private play(): void {
    this.plays?.pressed();
    void this.video.play().catch(() => undefined);
  }

  /** To a place of the replay, and on from there; also for who has not begun. */
  private jump(seconds: number): void {
    if (this.begun && this.kind === 'replay') {
      this.video.currentTime = seconds;
      this.play();
    } else {
      this.goTo('replay', seconds);
    }
    this.box.scrollIntoView({ block: 'nearest' });
  }

  private onPlay(): void {
    window.clearTimeout(this.restTimer);
    this.plays?.pressed();
    const rested = this.begun && this.kind === 'live' && this.video.currentTime > 0;
    this.begun = true;
    if (this.kind === 'replay' && this.data.storyboard) {
      addThumbnails(this.video, this.data.storyboard);
    }
    this.movedAt = performance.now();
    this.engine.begin();
    if (rested && this.engine.behind > 12) this.engine.toLiveEdge();
    this.render();
  }

  private onPause(): void {
    // Nobody watches: stop drawing on somebody's data plan.
    if (this.kind !== 'replay') {
      this.restTimer = window.setTimeout(() => this.engine.rest(), REST_AFTER_MS);
    }
    this.render();
  }

  private onEnded(): void {
    if (this.kind === 'replay') {
      this.render();
      return;
    }
    // The list ran out; whether the show did too is for the server to say.
    this.drained = true;
    this.pollIn(100);
  }

  /** The show is over: its replay is loaded in place, at its start, for whoever wants it. */
  private toReplay(): void {
    if (this.kind === 'replay') return;
    this.kind = 'replay';
    this.curtain = this.begun;
    this.begun = false;
    this.video.pause();
    this.plays?.renew();
    this.engine.rest();
    this.engine.open(this.source(0));
    this.render();
    this.renderPage(null);
  }

  private goTo(kind: Kind, at: number): void {
    this.kind = kind;
    this.ownSeek = true;
    this.begun = true;
    this.plays?.renew();
    this.engine.rest();
    this.engine.open(this.source(at));
    this.play();
    this.engine.begin();
    this.render();
  }

  private setSaver(saver: Saver): void {
    const between = saver === 'sound' || this.saver === 'sound';
    this.saver = saver;
    this.bytes = this.seconds = 0;
    this.ownSeek = true;
    store.set(SAVER, saver);
    this.engine.setSaver(saver);
    if (between) {
      const at = this.kind === 'live' ? -1 : this.video.currentTime;
      const going = !this.video.paused;
      this.engine.rest();
      this.engine.open(this.source(at));
      if (going) this.play();
      if (this.begun) this.engine.begin();
    }
    this.render();
  }

  private onLevels(): void {
    this.hls?.on(Hls.Events.FRAG_BUFFERED, (_, data) => {
      const seconds = data.part?.duration ?? data.frag.duration;
      this.bytes += data.stats.loaded;
      this.seconds += seconds;
    });
  }

  private onStruggling(yes: boolean): void {
    this.struggling = yes;
    if (yes) this.pollIn(500);
    this.render();
  }

  private onStall(): void {
    this.stalls++;
    this.plays?.stalled();
    this.pollIn(500);
  }

  /** Twice a second: is the picture moving? */
  private tick(): void {
    if (this.video.currentTime !== this.lastTime) {
      this.lastTime = this.video.currentTime;
      this.movedAt = performance.now();
      this.ownSeek = false;
      this.struggling = false;
    }
    const still = performance.now() - this.movedAt;
    // The last seconds of a show are played out before the curtain; if they never come, it falls.
    if (this.state === 'ended' && this.kind !== 'replay' && (!this.begun || still > 5_000)) this.toReplay();
    this.render();
  }

  private pollIn(ms: number): void {
    window.clearTimeout(this.pollTimer);
    if (!this.data.poll) return;
    this.pollTimer = window.setTimeout(() => void this.poll(), jitter(ms));
  }

  private async poll(): Promise<void> {
    const now = await ask(this.data.poll ?? '');
    if (now) this.onState(now);
    if (this.state === 'ended' && this.kind === 'replay') return;
    const soon = this.state === 'interrupted' || this.drained || this.struggling || now === null;
    const hidden = document.visibilityState === 'hidden' && this.video.paused;
    this.pollIn(hidden ? POLL_HIDDEN_MS : soon ? POLL_SOON_MS : POLL_MS);
  }

  private onState(now: PublicState): void {
    const before = this.state;
    this.state = now.state;
    if (now.replay_hls_url) this.data.replay = now.replay_hls_url;
    this.engine.waiting = now.state === 'interrupted';
    if (now.state === 'live' && before !== 'live') this.engine.revive();
    if (this.drained && now.state === 'ended') this.toReplay();
    if (this.drained && now.state === 'live') this.goTo('live', -1);
    this.drained = false;
    this.renderPage(now);
    this.render();
  }

  private render(): void {
    const still = performance.now() - this.movedAt > 1_500;
    this.box.classList.toggle('player-started', this.begun);
    const slate = this.state === 'interrupted' && this.kind === 'live' && (!this.begun || still);
    show(one('[data-play]', this.box), !this.begun && !this.curtain && !slate);
    show(this.part('interrupted'), slate);
    show(this.part('retry'), this.struggling && this.begun && this.state !== 'interrupted');
    show(this.part('ended'), this.curtain && !this.begun);
    show(this.part('sound'), this.saver === 'sound' && this.begun);
    this.chapters?.mark(this.begun && this.kind === 'replay');
    if (this.data.kind !== this.kind) this.data.kind = this.kind;
    this.data.now = this.state;
    this.renderBar();
  }

  private renderBar(): void {
    const bar = one('[data-player-controls]');
    if (!bar) return;
    const onAir = this.state === 'live' || this.state === 'interrupted';
    const late = this.kind === 'live' && this.begun && this.engine.behind > 15;
    show(one('[data-to-live]', bar), onAir && (this.kind === 'dvr' || late));
    show(one('[data-from-start]', bar), onAir && this.kind === 'live' && !!this.data.replay);
    const note = one('[data-saver-note]', bar);
    if (!note) return;
    const words = this.saver === 'auto' ? undefined : note.dataset[this.saver];
    const text =
      words && this.seconds > 8 ? words.replace('{mb}', String(perHour(this.bytes, this.seconds))) : '';
    if (note.textContent !== text) note.textContent = text;
  }

  /** The words around the player follow the show as well. */
  private renderPage(now: PublicState | null): void {
    for (const badge of all('[data-badge]')) show(badge, badge.dataset.badge === this.state);
    const count = one('[data-viewers]');
    if (count && now) count.textContent = String(now.viewers);
    const onAir = this.state === 'live' || this.state === 'interrupted';
    show(one('[data-viewers-line]'), onAir && count?.textContent !== '0');
  }
}

function perHour(bytes: number, seconds: number): number {
  const mb = ((bytes / seconds) * 3600) / 1e6;
  return mb > 100 ? Math.round(mb / 50) * 50 : Math.max(5, Math.round(mb / 5) * 5);
}

function mount(box: HTMLElement): void {
  const player = new Player(box);
  window.xitaiPlayer ??= player.expose();
}

/** Before the show: wait on the page, then put the player in the poster's place. */
function awaitShow(template: HTMLTemplateElement, stage: HTMLElement): void {
  const inside = template.content.querySelector<HTMLElement>('[data-player]');
  const look = async () => {
    const now = await ask(inside?.dataset.poll ?? '');
    if (!now || now.state === 'waiting' || !inside) {
      window.setTimeout(() => void look(), jitter(document.hidden ? POLL_HIDDEN_MS : POLL_MS / 2));
      return;
    }
    inside.dataset.state = now.state;
    inside.dataset.kind = now.state === 'ended' ? 'replay' : 'live';
    if (now.replay_hls_url) inside.dataset.replay = now.replay_hls_url;
    stage.replaceChildren(template.content);
    stage.dataset.state = now.state;
    for (const badge of all('[data-badge]')) show(badge, badge.dataset.badge === now.state);
    mount(inside);
  };
  void look();
}

const template = one<HTMLTemplateElement>('[data-player-template]');
const stage = one('[data-stage]');
if (template && stage) awaitShow(template, stage);
else all('[data-player]').forEach(mount);
wireFresh();
