// What went wrong with a request, from `application/problem+json` (RFC 9457) or from the bare status.

export interface Problem {
  /** HTTP status, or 0 when no answer came. */
  status: number;
  title: string;
  detail: string;
  /** A name for programs to tell problems of one status apart, when the server gives one. */
  code?: string;
  /** From `Retry-After`, when the server named a time. */
  retryAfterMs?: number;
}

const DETAIL_LIMIT = 500; // Shown to people; an HTML error page of a proxy is not.

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

/** A request that failed with an answer (or with none: status 0). */
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
