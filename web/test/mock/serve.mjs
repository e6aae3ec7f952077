// Serves the mock node on a port for work on the pages (`npm run mock`). Open /mock/publisher in one tab and / in
// another.

import { MockServer } from './server.mjs';

const server = new MockServer();
server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
server.rooms.set('no-udp', { whep: 'blocked', hls: true, state: 'live' });
server.rooms.set('hls-only', { whep: 503, hls: true, state: 'live' });
const origin = await server.listen(Number(process.argv[2] ?? 8080));
process.stdout.write(`${origin}/ (sending end: ${origin}/mock/publisher)\n`);
process.on('SIGINT', () => {
  server.close();
  process.exit();
});
