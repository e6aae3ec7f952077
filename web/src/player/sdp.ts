// Reads and changes SDP text where WebRTC has no API for it: to ask for stereo Opus (RFC 7587 §7), for lost audio once
// more and for round trips (RFC 4585 §4.2, RFC 3611 §4.4), and for the fragments of an ICE restart (RFC 8840).
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

/**
 * The feedback that browsers send when it is agreed on, and do not offer by themselves. With `nack` a lost packet of Opus
 * is sent once more. With `rrtr` a receiver measures the round trip by RTCP.
 */
const FEEDBACK = { audio: ['nack', 'rrtr'], video: ['rrtr'] };
/** Formats of video that only repair another one. Their feedback is that of the format which they repair. */
const REPAIRS = /^(rtx|red|ulpfec|flexfec-03)$/i;

/** Returns the offer with the feedback of `FEEDBACK` for Opus and for each codec of video. */
export function withFeedback(sdp: string): string {
  return sdp.replace(/^m=(audio|video) [\s\S]*?(?=^m=|(?![\s\S]))/gm, (section, kind: 'audio' | 'video') =>
    section.replace(
      /^a=rtpmap:(\d+) ([\w-]+)\/[^\r\n]*(\r?\n)/gm,
      (line, payload: string, codec: string, end: string) => {
        const isMedia = kind === 'audio' ? codec.toLowerCase() === 'opus' : !REPAIRS.test(codec);
        const lacks = (feedback: string) => !new RegExp(`^a=rtcp-fb:${payload} ${feedback}\\r?$`, 'm').test(section);
        const added = isMedia ? FEEDBACK[kind].filter(lacks) : [];
        return line + added.map((feedback) => `a=rtcp-fb:${payload} ${feedback}${end}`).join('');
      },
    ),
  );
}

/** Returns what the player sends in place of the browser's own offer. */
export function playersOffer(sdp: string): string {
  return withFeedback(withStereoOpus(sdp));
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
