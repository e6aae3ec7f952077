import { expect, it } from 'vitest';
import { EventStreamParser, type ServerEvent } from '../../src/player/event_stream';

function parse(...pieces: string[]): ServerEvent[] {
  const parser = new EventStreamParser();
  return pieces.flatMap((piece) => parser.take(piece));
}

it('events_are_read_with_any_end_of_line_and_cut_anywhere', () => {
  const events = [
    { name: 'layers', data: '{"0":{}}' },
    { name: 'message', data: 'a\nb' },
    { name: 'active', data: '' },
  ];
  for (const end of ['\n', '\r\n', '\r']) {
    const lines = [
      ': hello',
      '',
      'event: layers',
      'data: {"0":{}}',
      '',
      'id: 7',
      'data:a',
      'data: b',
      '',
      'event:active',
      'data',
      '',
      '',
    ];
    const text = lines.join(end);
    expect(parse(text)).toEqual(events);
    expect(parse(...text)).toEqual(events);
    expect(parse(text.slice(0, 30), '', text.slice(30))).toEqual(events);
  }
});

it('an_event_without_data_or_without_an_end_is_no_event', () => {
  expect(parse('event: layers\n\n', 'data: x')).toEqual([]);
  expect(parse('event: layers\n\n', 'data: x\n\n')).toEqual([{ name: 'message', data: 'x' }]);
});

it('an_event_that_is_too_long_is_left_out_and_the_next_one_is_read', () => {
  const long = 'x'.repeat(40_000);
  expect(parse(`data: ${long}\ndata: ${long}\ndata: y\n\ndata: next\n\n`)).toEqual([{ name: 'message', data: 'next' }]);
  expect(parse(`data: ${long}`, long, long, '\n', '\n', 'data: next\n\n')).toEqual([{ name: 'message', data: 'next' }]);
});
