// Describes why a request failed, from `application/problem+json` (RFC 9457) or from the status alone.

export interface Problem {
  /** The HTTP status, or 0 if no answer came. */
  status: number;
  title: string;
  detail: string;
  /** A name by which programs tell problems of the same status apart, if the server gives one. */
  code?: string;
  /** The time from `Retry-After`, if the server named one. */
  retryAfterMs?: number;
}

const DETAIL_LIMIT = 500; // Characters. A detail is shown to people and must be short.

export async function problemFrom(response: Response): Promise<Problem> {
  const problem: Problem = {
    status: response.status,
    title: response.statusText || `HTTP ${response.status}`,
    detail: '',
  };
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  if (seconds >= 0) problem.retryAfterMs = seconds * 1000;
  if (/^application\/(problem\+)?json/.test(response.headers.get('content-type') ?? '')) {
    const body: unknown = await response.json().catch(() => null);
    if (typeof body === 'object' && body !== null) {
      const { title, detail, code } = body as Record<string, unknown>;
      if (typeof title === 'string') problem.title = title.slice(0, DETAIL_LIMIT);
      if (typeof detail === 'string') problem.detail = detail.slice(0, DETAIL_LIMIT);
      if (typeof code === 'string') problem.code = code.slice(0, DETAIL_LIMIT);
    }
  }
  return problem;
}

/** A request failed, with an answer or without one (status 0). */
export class RequestError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem, options?: ErrorOptions) {
    super(problem.detail || problem.title, options);
    this.name = 'RequestError';
    this.problem = problem;
  }

  static unreachable(cause: unknown): RequestError {
    const detail = cause instanceof Error ? cause.message : '';
    return new RequestError({ status: 0, title: 'No answer', detail }, { cause });
  }
}
