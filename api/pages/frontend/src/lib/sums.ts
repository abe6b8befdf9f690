// Sums for uploads: of each piece on its way, and of the whole file before its last piece is sent.

import { DefaultHttpStack, type HttpRequest, type HttpResponse, type HttpStack } from 'tus-js-client';
import { base64, sumOf } from './sha256';

interface Told {
  id: number;
  sum?: string;
  failed?: boolean;
}

/** Whole files, summed by a worker; null where that does not go. */
export class WholeSums {
  private readonly worker: Worker | null;
  private readonly waiting = new Map<number, (sum: string | null) => void>();
  private next = 1;

  constructor(url: string) {
    let made: Worker | null = null;
    try {
      made = new Worker(url);
    } catch {
      // Very old, or forbidden: the sums of the pieces still hold.
    }
    this.worker = made;
    made?.addEventListener('message', (event: MessageEvent<Told>) => {
      const { id, sum, failed } = event.data;
      if (sum || failed) this.settle(id, sum ?? null);
    });
    made?.addEventListener('error', () => {
      for (const id of Array.from(this.waiting.keys())) this.settle(id, null);
    });
  }

  of(file: File): { sum: Promise<string | null>; stop: () => void } {
    const { worker } = this;
    const id = this.next++;
    if (!worker) return { sum: Promise.resolve(null), stop: () => undefined };
    const sum = new Promise<string | null>((resolve) => this.waiting.set(id, resolve));
    worker.postMessage({ id, file });
    const stop = () => {
      worker.postMessage({ id, stop: true });
      this.settle(id, null);
    };
    return { sum, stop };
  }

  private settle(id: number, sum: string | null): void {
    this.waiting.get(id)?.(sum);
    this.waiting.delete(id);
  }
}

/** Each piece carries its own sum; `beforeLast` is awaited before the file's last byte leaves. */
export class SummingStack implements HttpStack {
  private readonly plain = new DefaultHttpStack({});

  constructor(
    private readonly size: number,
    private readonly beforeLast: (url: string) => Promise<void>,
  ) {}

  createRequest(method: string, url: string): HttpRequest {
    const request = this.plain.createRequest(method, url);
    const send = request.send.bind(request);
    let aborted = false;
    const abort = request.abort.bind(request);
    request.abort = () => {
      aborted = true;
      return abort();
    };
    request.send = async (body: unknown): Promise<HttpResponse> => {
      if (method === 'PATCH' && body instanceof Blob) {
        const offset = Number(request.getHeader('Upload-Offset') ?? 0);
        const sum = await sumOf(body);
        if (offset + body.size === this.size) await this.beforeLast(url);
        // As an aborted request of the browser's own: neither an answer nor an error.
        if (aborted) return new Promise<HttpResponse>(() => undefined);
        request.setHeader('Upload-Checksum', `sha256 ${base64(sum)}`);
      }
      return send(body);
    };
    return request;
  }

  getName(): string {
    return 'SummingStack';
  }
}
