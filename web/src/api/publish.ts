// Computes what a broadcaster enters into an encoder to go live in a room of this node.

import { pageOf } from './node';
import type { Server } from './room';

export interface Publishing {
  rtmpServer: string;
  streamKey: string;
  ffmpeg: string;
  whip: string;
  watch: string;
  studio: string;
}

const TOKEN = 'TOKEN'; // A placeholder for the broadcaster's token. The viewer's token of this page may not publish.

export function publishing(
  node: URL,
  server: Pick<Server, 'rtmp_port' | 'auth'> & Partial<Pick<Server, 'rtmp_app'>>,
  room: string,
): Publishing {
  const rtmpServer = `rtmp://${node.hostname}:${server.rtmp_port}/${server.rtmp_app ?? 'live'}`;
  const path = encodeURIComponent(room);
  const streamKey = server.auth ? `${path}?token=${TOKEN}` : path;
  const encode = '-c:v libx264 -preset veryfast -tune zerolatency -g 60 -b:v 2500k -pix_fmt yuv420p -c:a aac -b:a 128k';
  return {
    rtmpServer,
    streamKey,
    ffmpeg: `ffmpeg -re -stream_loop -1 -i input.mp4 ${encode} -f flv "${rtmpServer}/${streamKey}"`,
    whip: new URL(`whip/${path}`, node).href,
    watch: pageOf('watch', room, '', node),
    studio: pageOf('studio', room, '', node),
  };
}
