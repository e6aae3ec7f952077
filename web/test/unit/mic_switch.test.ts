import { describe, expect, it } from 'vitest';
import { type MicEffect, type MicInput, MicSwitch } from '../../src/room/mic_switch';

const problem = (status: number, detail = 'Because.') => ({ status, title: 'No', detail });

/** Drives the switch in virtual time and collects its effects. */
class Bench {
  readonly machine = new MicSwitch();
  now = 1000;
  effects: MicEffect[] = [];

  put(...inputs: (MicInput | MicInput['kind'])[]): this {
    for (const input of inputs) {
      const whole = typeof input === 'string' ? ({ kind: input } as MicInput) : input;
      this.effects.push(...this.machine.apply(whole, this.now));
    }
    return this;
  }

  run(ms: number): this {
    const end = this.now + ms;
    for (let at = this.machine.deadline(); at !== null && at <= end; at = this.machine.deadline()) {
      this.now = Math.max(this.now, at);
      this.effects.push(...this.machine.due(this.now));
    }
    this.now = end;
    return this;
  }

  take(): string[] {
    return this.effects.splice(0).map((effect) => {
      if (effect.do === 'state') return effect.reason ? `${effect.state}: ${effect.reason}` : effect.state;
      if (effect.do === 'stop_sending') return effect.tell_server ? 'stop_sending and tell' : 'stop_sending';
      return effect.do === 'end' && effect.tell_server ? `end and tell ${effect.tell_server}` : effect.do;
    });
  }
}

const go: MicInput = { kind: 'go', ticket: false };
const leave: MicInput = { kind: 'leave', reason: 'left' };
const onMic = () => {
  const bench = new Bench().put(go, 'asked', 'warm', 'ticket', 'published', 'sound', 'picture', 'faded');
  bench.take();
  return bench;
};

describe('going on mic', () => {
  it('everything_is_prepared_before_the_ticket_and_the_program_plays_until_the_audio_is_faded', () => {
    const bench = new Bench().put(go);
    expect(bench.take()).toEqual(['warm', 'ask', 'asking']);
    expect(bench.put('asked', 'warm').take()).toEqual(['waiting']);
    expect(bench.put('ticket').take()).toEqual(['joining', 'open']);
    expect(bench.put('published', 'picture').take()).toEqual(['show_return', 'on']);
    expect(bench.put('sound').take()).toEqual(['fade_to_return']);
    expect(bench.put('faded').take()).toEqual(['park']);
    expect(bench.machine.deadline()).toBeNull();
  });

  it('a_ticket_that_comes_before_the_camera_is_ready_waits_for_it', () => {
    const bench = new Bench().put(go, 'asked', 'ticket');
    expect(bench.take()).not.toContain('open');
    expect(bench.put('warm').take()).toEqual(['open']);
  });

  it('with_a_ticket_no_request_is_sent', () => {
    expect(new Bench().put({ kind: 'go', ticket: true }, 'warm').take()).toEqual(['warm', 'joining', 'open']);
  });

  it('the_audio_of_the_program_ends_after_1_s_if_the_return_feed_has_no_audio', () => {
    const bench = new Bench().put(go, 'asked', 'warm', 'ticket', 'published', 'picture');
    bench.take();
    expect(bench.run(999).take()).toEqual([]);
    expect(bench.run(1).take()).toEqual(['fade_to_return']);
  });

  it('a_return_feed_that_does_not_exist_yet_is_asked_for_again', () => {
    const bench = new Bench().put(go, 'warm', 'ticket');
    bench.take();
    bench.put({ kind: 'return_refused', problem: problem(404) });
    expect(bench.run(150).take()).toEqual(['reopen_return']);
    expect(bench.put('picture').take()).toContain('show_return');
  });

  it('the_same_ticket_twice_opens_the_sessions_once', () => {
    expect(new Bench().put(go, 'warm', 'ticket', 'ticket', 'published', 'ticket').take()).toEqual([
      'warm',
      'ask',
      'asking',
      'joining',
      'open',
    ]);
  });
});

describe('a failure leaves the viewer in the audience', () => {
  it.each<[string, MicInput]>([
    ['WHIP is refused', { kind: 'publish_refused', problem: problem(403) }],
    ['the return feed is refused', { kind: 'return_refused', problem: problem(500) }],
    ['the WHIP connection is lost', { kind: 'publish_lost' }],
    ['the return feed is lost', { kind: 'return_lost' }],
  ])('%s', (_name, input) => {
    const bench = new Bench().put(go, 'asked', 'warm', 'ticket');
    bench.take();
    expect(bench.put(input).take()).toEqual(['end and tell failed', 'off: failed']);
    expect(bench.run(60_000).take()).toEqual([]);
  });

  it('joining_fails_without_a_frame_within_eight_seconds', () => {
    const bench = new Bench().put(go, 'asked', 'warm', 'ticket', 'published');
    bench.take();
    expect(bench.run(7999).take()).toEqual([]);
    expect(bench.run(1).take()).toEqual(['end and tell failed', 'off: failed']);
  });

  it('a_person_who_is_not_published_within_eight_seconds_goes_back', () => {
    const bench = new Bench().put(go, 'asked', 'warm', 'ticket', 'sound', 'picture', 'faded');
    bench.take();
    expect(bench.run(8000).take()).toEqual(['stop_sending', 'unpark', 'leaving: failed']);
  });

  it('a_refused_expired_or_withdrawn_request_ends', () => {
    const asked = () => {
      const bench = new Bench().put(go, 'asked');
      bench.take();
      return bench;
    };
    expect(asked().put({ kind: 'leave', reason: 'refused' }).take()).toEqual(['end', 'off: refused']);
    expect(asked().put({ kind: 'leave', reason: 'expired' }).take()).toEqual(['end', 'off: expired']);
    expect(asked().put(leave).take()).toEqual(['withdraw', 'end', 'off: left']);
  });

  it('without_a_camera_the_request_is_withdrawn', () => {
    const bench = new Bench().put(go, 'asked');
    bench.take();
    expect(bench.put({ kind: 'warm_failed', problem: problem(0) }).take()).toEqual(['withdraw', 'end', 'off: devices']);
  });

  it('the_sentence_of_the_server_is_reported', () => {
    const bench = new Bench().put(go, { kind: 'ask_refused', problem: problem(409, 'Seat 2 is locked.') });
    expect(bench.effects.at(-1)).toMatchObject({ state: 'off', problem: { detail: 'Seat 2 is locked.' } });
  });
});

describe('going back to the audience', () => {
  it('sending_ends_at_once_and_the_return_feed_stays_until_the_program_plays', () => {
    const bench = onMic().put(leave);
    expect(bench.take()).toEqual(['stop_sending and tell', 'unpark', 'leaving: left']);
    expect(bench.run(1500).take()).toEqual([]);
    expect(bench.put('program').take()).toEqual(['show_program', 'fade_to_program']);
    expect(bench.put('faded').take()).toEqual(['end', 'off: left']);
  });

  it('removal_by_the_host_goes_back_without_telling_the_server', () => {
    const bench = onMic().put({ kind: 'leave', reason: 'removed' }, 'return_lost', 'publish_lost', 'program', 'faded');
    expect(bench.take()).toEqual([
      'stop_sending',
      'unpark',
      'leaving: removed',
      'show_program',
      'fade_to_program',
      'end',
      'off: removed',
    ]);
  });

  it('leaving_while_joining_tells_the_server', () => {
    const bench = new Bench().put(go, 'asked', 'warm', 'ticket');
    bench.take();
    expect(bench.put(leave).take()).toEqual(['end and tell left', 'off: left']);
  });

  it('a_lost_connection_goes_back', () => {
    expect(onMic().put('return_lost').take()).toEqual(['stop_sending', 'unpark', 'leaving: lost']);
  });

  it('the_reason_of_the_server_is_used_even_if_the_connections_end_first', () => {
    const bench = onMic().put('return_lost', { kind: 'leave', reason: 'removed' }, 'program', 'faded');
    expect(bench.take().slice(-2)).toEqual(['end', 'off: removed']);
  });

  it('leaving_during_the_fade_fades_back_because_the_program_still_plays', () => {
    const bench = new Bench().put(go, 'asked', 'warm', 'ticket', 'published', 'sound', 'picture');
    bench.take();
    expect(bench.put(leave).take()).toEqual([
      'stop_sending and tell',
      'show_program',
      'fade_to_program',
      'leaving: left',
    ]);
    expect(bench.put('faded').take()).toEqual(['end', 'off: left']);
  });

  it('without_a_program_the_return_feed_ends_at_once_or_after_ten_seconds', () => {
    const gone = onMic().put(leave);
    gone.take();
    expect(gone.put('program_gone').take()).toEqual(['show_program', 'end', 'off: left']);
    const late = onMic().put(leave);
    late.take();
    expect(late.run(10_000).take()).toEqual(['show_program', 'end', 'off: left']);
  });
});

it('random_inputs_never_break_the_invariants', () => {
  const kinds = ['warm', 'asked', 'ticket', 'published', 'publish_lost', 'picture', 'sound', 'return_lost'] as const;
  const inputs: MicInput[] = [
    ...[...kinds, 'faded' as const, 'program' as const, 'program_gone' as const].map((kind) => ({ kind })),
    go,
    { kind: 'go', ticket: true },
    leave,
    { kind: 'leave', reason: 'removed' },
    { kind: 'ask_refused', problem: problem(409) },
    { kind: 'warm_failed', problem: problem(0) },
    { kind: 'publish_refused', problem: problem(500) },
    { kind: 'return_refused', problem: problem(404) },
  ];
  for (let seed = 1; seed <= 1000; seed++) {
    let random = seed;
    const next = (below: number) => {
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((random / 2 ** 32) * below);
    };
    const bench = new Bench();
    let begun = false;
    let open = false;
    let parked = false;
    let returnOnTop = false;
    let sending = false;
    for (let step = 0; step < 80; step++) {
      bench.put(inputs[next(inputs.length)] as MicInput);
      if (next(4) === 0) bench.run(next(4000));
      for (const effect of bench.effects.splice(0)) {
        const name = `seed ${seed}: ${effect.do}`;
        if (effect.do === 'warm') {
          expect(begun, name).toBe(false);
          begun = true;
        } else if (effect.do === 'open') {
          expect([begun, open], name).toEqual([true, false]);
          open = sending = true;
        } else if (effect.do === 'show_return') {
          expect([open, parked], name).toEqual([true, false]);
          returnOnTop = true;
        } else if (effect.do === 'park') {
          expect([returnOnTop, parked], name).toEqual([true, false]);
          parked = true;
        } else if (effect.do === 'stop_sending') {
          expect(sending, name).toBe(true);
          sending = false;
        } else if (effect.do === 'unpark') {
          expect([parked, sending], name).toEqual([true, false]);
          parked = false;
        } else if (effect.do === 'show_program') {
          expect([returnOnTop, parked, sending], name).toEqual([true, false, false]);
          returnOnTop = false;
        } else if (effect.do === 'end') {
          expect([begun, returnOnTop, parked], name).toEqual([true, false, false]);
          begun = open = sending = false;
        }
      }
    }
    bench.put(leave, 'program', 'faded').run(60_000);
    bench.put('faded');
    expect([bench.machine.state, bench.machine.deadline()], `seed ${seed}`).toEqual(['off', null]);
  }
});
