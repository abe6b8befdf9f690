// One file going up: created or gone on with, paused, waiting for the network, done.

import { DetailedError, Upload, type UploadOptions } from 'tus-js-client';
import { SummingStack, type WholeSums } from './sums';
import { Card, type Act } from './upload-card';
import { Speed, type Words } from './upload-words';

const FIRST_PIECE = 1 << 20;
const LEAST_PIECE = 256 << 10;
const MOST_PIECE = 32 << 20;
/** So long a piece should take: what a cut costs at most, and what a short one wastes. */
const PIECE_MS = 5_000;
/** Files up to this are summed first: one that is here already need not be sent. */
const SUM_FIRST = 64 << 20;
const RETRIES = [500, 1_000, 2_000, 4_000, 8_000, 15_000];
const WAIT_MS = 30_000;
const SILENT_MS = 25_000;

export type Stage = 'queued' | 'sending' | 'paused' | 'waiting' | 'done' | 'failed' | 'gone';

export interface Place {
  endpoint: string;
  sums: WholeSums;
  words: Words;
  template: HTMLTemplateElement;
  metadata: () => Record<string, string>;
  /** Of the show or exhibition the files are for; "" of neither. */
  key: string;
  /** Where this very file was being sent to, from another browser or before it forgot. */
  known: (file: File) => Promise<string | null>;
  changed: (sending: Sending) => void;
}

export class Sending {
  stage: Stage = 'queued';
  readonly card: Card;
  sent = 0;
  /** Of the row, once there is one. */
  id: string | null = null;
  private upload: Upload | null = null;
  private stopSum: () => void = () => undefined;
  private readonly speed = new Speed();
  private timer = 0;
  private insists = false;
  private began = 0;
  private run = 0;
  private movedAt = 0;
  private summing = false;

  constructor(
    readonly file: File,
    readonly photo: boolean,
    private readonly place: Place,
  ) {
    this.card = new Card(place.template, place.words, file, photo, (act) => this.act(act));
    this.enter('queued');
  }

  get rate(): number {
    return this.stage === 'sending' ? this.speed.get() : 0;
  }

  /** Begin, or go on. */
  async start(): Promise<void> {
    window.clearTimeout(this.timer);
    this.enter('sending');
    this.card.error(null);
    if (this.upload) {
      this.upload.start();
      return;
    }
    this.stopSum(); // of a start that was paused before it came to anything
    const { sum, stop } = this.place.sums.of(this.file);
    this.stopSum = stop;
    const run = ++this.run;
    const purpose = this.photo ? 'photo' : 'recording';
    const metadata: Record<string, string> = { ...this.place.metadata(), filename: this.file.name, purpose };
    if (this.insists) metadata.insist = '1';
    if (this.file.size <= SUM_FIRST) {
      this.card.state('reading');
      const whole = await sum;
      if (whole) metadata.sha256 = whole;
    }
    const upload = new Upload(this.file, this.options(metadata, sum));
    const before = (await upload.findPreviousUploads()).sort((a, b) => b.creationTime.localeCompare(a.creationTime));
    const known = before[0] || this.insists ? null : await this.place.known(this.file);
    if (this.stage !== 'sending' || run !== this.run) return; // paused or cancelled meanwhile
    this.upload = upload;
    if (before[0]) upload.resumeFromPreviousUpload(before[0]);
    else if (known) upload.options.uploadUrl = known;
    upload.start();
  }

  /** The network is back: do not wait for the clock. */
  hurry(): void {
    if (this.stage === 'waiting') void this.start();
    else this.startAnew(1_000);
  }

  /** Asked every few seconds. */
  watch(): void {
    this.startAnew(SILENT_MS);
  }

  /** A connection that a change of network left behind says nothing, and never ends. */
  private startAnew(silentMs: number): void {
    const { upload } = this;
    const silent = performance.now() - this.movedAt;
    if (this.stage !== 'sending' || !upload || this.summing || silent < silentMs) return;
    this.movedAt = performance.now();
    void upload.abort().then(() => {
      if (this.stage === 'sending') upload.start();
    });
  }

  private options(metadata: Record<string, string>, sum: Promise<string | null>): UploadOptions {
    return {
      endpoint: this.place.endpoint,
      metadata,
      chunkSize: FIRST_PIECE,
      retryDelays: RETRIES,
      removeFingerprintOnSuccess: true,
      fingerprint: (_file, options) => Promise.resolve(this.fingerprint(options.endpoint ?? '')),
      httpStack: new SummingStack(this.file.size, (url) => this.tellSum(url, sum)),
      onShouldRetry: (error) => !isFinal(error as DetailedError),
      onUploadUrlAvailable: () => this.known(),
      onProgress: (sent) => this.progressed(sent),
      onChunkComplete: (length) => this.fit(length),
      onSuccess: () => this.succeeded(),
      onError: (error) => this.failed(error),
    };
  }

  /** The same file for the same place: sent for another one, it is another upload. */
  private fingerprint(endpoint: string): string {
    const { name, size, type, lastModified } = this.file;
    return ['tus-xitai', this.place.key, name, type, size, lastModified, endpoint].join('-');
  }

  private known(): void {
    const url = this.upload?.url ?? '';
    this.id = url.slice(url.lastIndexOf('/') + 1) || null;
    this.began = performance.now();
    this.place.changed(this);
  }

  private progressed(sent: number): void {
    if (this.stage !== 'sending') return;
    const first = this.movedAt === 0;
    this.movedAt = performance.now();
    if (first && sent > 0) {
      this.card.state('resumed', { percent: `${Math.floor((sent / this.file.size) * 100)}%` });
      this.card.element.dataset.resumed = String(sent);
    } else if (first) this.card.state('sending');
    this.sent = sent;
    this.speed.add(sent);
    this.card.progress(sent, this.file.size, this.speed.get());
    this.place.changed(this);
  }

  /** The next piece is as long as the network carries in a few seconds. */
  private fit(length: number): void {
    const took = Math.max(1, performance.now() - this.began);
    this.began = performance.now();
    const options = this.upload!.options;
    const wanted = Math.min((length * PIECE_MS) / took, (options.chunkSize ?? FIRST_PIECE) * 2);
    options.chunkSize = Math.round(Math.min(MOST_PIECE, Math.max(LEAST_PIECE, wanted)));
  }

  /** The whole file's sum, before its last byte: what comes out over there must be the same. */
  private async tellSum(url: string, sum: Promise<string | null>): Promise<void> {
    this.summing = true;
    this.card.state('summing');
    const whole = await sum;
    this.summing = false;
    this.movedAt = performance.now();
    this.card.state('sending');
    if (!whole) return;
    const id = url.slice(url.lastIndexOf('/') + 1);
    const answer = await fetch(`/api/v1/uploads/${id}/sha256`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sha256: whole }),
    });
    // Without it the end would go unchecked: the piece is tried again.
    if (answer.status >= 500) throw new Error(`the sum was not taken: ${answer.status}`);
  }

  private succeeded(): void {
    this.sent = this.file.size;
    this.card.progress(this.sent, this.file.size, 0);
    this.card.done();
    this.enter('done');
    document.body.dispatchEvent(new CustomEvent('uploaded'));
  }

  private failed(error: Error | DetailedError): void {
    const answer = 'originalResponse' in error ? error.originalResponse : null;
    const status = answer?.getStatus() ?? 0;
    if ('originalRequest' in error && !isFinal(error)) {
      this.enter('waiting');
      // No retry by the library's own clock is left: ours has no end.
      this.timer = window.setTimeout(() => void this.start(), WAIT_MS);
      return;
    }
    const said = answer ? problem(answer.getBody()) : null;
    this.enter('failed');
    const duplicate = said?.code === 'upload_duplicate';
    if (duplicate) this.upload = null;
    this.insists = duplicate;
    this.card.acts(false, duplicate ? 'insist' : 'retry', true);
    const words = this.place.words;
    const sentence = status === 401 ? words.signed_out : (said?.detail ?? (answer ? words.unknown : words.changed));
    this.card.error(sentence ?? '');
  }

  private act(act: Act): void {
    if (act === 'go') {
      this.enter('queued');
    } else if (act === 'pause') {
      void this.upload?.abort();
      this.enter('paused');
    } else {
      void this.upload?.abort(true).catch(() => undefined);
      this.stopSum();
      this.enter('gone');
      this.card.element.remove();
    }
  }

  private enter(stage: Stage): void {
    window.clearTimeout(this.timer);
    this.stage = stage;
    this.card.element.dataset.stage = stage;
    this.card.state(stage);
    this.card.acts(stage === 'sending' || stage === 'queued', { paused: 'go_on', waiting: 'retry' }[stage as string] ?? null, stage !== 'done');
    if (stage !== 'sending') {
      this.speed.reset();
      this.card.still();
    }
    this.place.changed(this);
  }
}

/** What asking again will not change. 507: room may be made while it waits. */
function isFinal(error: DetailedError): boolean {
  const status = error.originalResponse?.getStatus() ?? 0;
  const later = error.originalRequest?.getMethod() === 'POST' ? [408] : [408, 409, 423, 429, 460];
  return status >= 400 && status < 500 && !later.includes(status);
}

function problem(body: string): { code?: string; detail?: string } | null {
  try {
    return JSON.parse(body) as { code?: string; detail?: string };
  } catch {
    return null;
  }
}
