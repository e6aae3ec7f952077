// Sends requests to the API of the node that served this page.

import { NODE } from './node';
import type { Room, Server } from './room';

export class ApiError extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`HTTP ${status}`);
    this.status = status;
  }
}

export class Api {
  readonly #token: string | null;

  constructor(token: string | null) {
    this.#token = token;
  }

  async rooms(): Promise<Room[]> {
    return (await this.#get<{ rooms: Room[] }>('api/v1/rooms')).rooms;
  }

  room(name: string): Promise<Room> {
    return this.#get(`api/v1/rooms/${encodeURIComponent(name)}`);
  }

  server(): Promise<Server> {
    return this.#get('api/v1/server');
  }

  async #get<T>(path: string): Promise<T> {
    const headers: Record<string, string> = this.#token ? { authorization: `Bearer ${this.#token}` } : {};
    const signal = AbortSignal.timeout(5000);
    const response = await fetch(new URL(path, NODE), { headers, cache: 'no-store', signal });
    if (!response.ok) throw new ApiError(response.status);
    return response.json() as Promise<T>;
  }
}
