// Reads and changes SDP text where WebRTC has no API for it: to ask for stereo Opus (RFC 7587 §7), and for the
// fragments of an ICE restart (RFC 8840).
//
// Works line by line and never throws. Text that is not as expected is returned unchanged.

/** Holds the ICE credentials and candidates of one side, as a `trickle-ice-sdpfrag` carries them. */
export interface IceFragment {
  ufrag: string;
  pwd: string;
  /** The `a=candidate:` lines without the `a=`. Empty if the fragment has no candidates. */
  candidates: string[];
}

/** Adds `stereo=1` to every Opus format. Without it browsers ask for mono and decode mono. */
export function withStereoOpus(sdp: string): string {
  const opus = new Set([...sdp.matchAll(/^a=rtpmap:(\d+) opus\/48000\/2\r?$/gim)].map((match) => match[1]));
  return sdp.replace(/^(a=fmtp:(\d+) )([^\r\n]*)/gm, (line, head: string, payload: string, rest: string) =>
    opus.has(payload) && !/(^|;)\s*stereo=/.test(rest) ? `${head}${rest};stereo=1` : line,
  );
}

/** Makes the body of the PATCH that asks for an ICE restart, from the browser's new local description. */
export function iceRestartFragment(localSdp: string): string | null {
  const ufrag = value(localSdp, 'ice-ufrag');
  const pwd = value(localSdp, 'ice-pwd');
  const media = /^m=[^\r\n]*/m.exec(localSdp)?.[0];
  if (!ufrag || !pwd || !media) return null;
  const lines = [`a=ice-ufrag:${ufrag}`, `a=ice-pwd:${pwd}`, media, `a=mid:${value(localSdp, 'mid') ?? '0'}`];
  return `${lines.join('\r\n')}\r\n`;
}

/** Reads the server's answer to an ICE restart. Returns null if it holds no credentials. */
export function parseIceFragment(fragment: string): IceFragment | null {
  const ufrag = value(fragment, 'ice-ufrag');
  const pwd = value(fragment, 'ice-pwd');
  if (!ufrag || !pwd) return null;
  const candidates = [...fragment.matchAll(/^a=(candidate:[^\r\n]*)/gm)].map((match) => match[1] as string);
  return { ufrag, pwd, candidates };
}

/** Returns the earlier answer with the ICE credentials, and the candidates if there are any, of a restart. */
export function withIceFragment(answer: string, fragment: IceFragment): string {
  let sdp = answer
    .replace(/^a=ice-ufrag:[^\r\n]*/gm, `a=ice-ufrag:${fragment.ufrag}`)
    .replace(/^a=ice-pwd:[^\r\n]*/gm, `a=ice-pwd:${fragment.pwd}`);
  if (fragment.candidates.length === 0) return sdp;
  sdp = sdp.replace(/^a=(candidate:[^\r\n]*|end-of-candidates)\r?\n/gm, '');
  // The candidates of a bundle belong in its first media section, after its connection lines.
  const lines = fragment.candidates.map((candidate) => `a=${candidate}\r\n`).join('');
  const section = sdp.search(/^m=/m);
  const head = sdp.slice(0, section);
  return head + sdp.slice(section).replace(/^m=[^\r\n]*\r?\n(?:[bci]=[^\r\n]*\r?\n)*/, (block) => block + lines);
}

function value(sdp: string, attribute: string): string | undefined {
  return new RegExp(`^a=${attribute}:([^\\r\\n]*)`, 'm').exec(sdp)?.[1];
}
