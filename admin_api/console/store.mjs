// The page's state: one object, replaced by `set`, watched by components through `useStore`.
// Machine positions are not here (machines.mjs): ten thousand of them change every second.
import { useEffect, useState } from './dom.mjs';

export function createStore(initial) {
  let state = initial;
  const listeners = new Set();
  return {
    get: () => state,
    set(patch) {
      state = { ...state, ...(typeof patch === 'function' ? patch(state) : patch) };
      for (const listener of listeners) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export const store = createStore({
  language: null,
  session: undefined, // undefined: not known yet, null: signed out
  notice: null, // what the sign-in form has to say
  purpose: null, // null: positions are not shown
  link: 'connecting', // connecting, live, lost
  zones: [],
  districts: {},
  alarms: new Map(), // id -> alarm document
  more: null, // cursor of the list's next page
  openMore: false, // there are more open alarms than were loaded
  filter: 'open', // open, all, closed
  fresh: new Set(), // ids that arrived by the stream a moment ago
  candidates: [],
  digests: [], // newest first, until they are dismissed
  selected: null, // alarm id in the detail pane
  machine: null, // phone of the machine whose card is open
  queue: { waiting: [], held: [], more: false }, // terminals without a machine, terminals in quarantine
  queueOpen: false,
  counts: { online: 0, stages: {} },
  announcement: '',
  failure: null, // a failure of loading, as a thunk that gives the sentence
});

/** The part of the state that `select` picks; the component is drawn again when it is another value. */
export function useStore(select) {
  const [, draw] = useState(0);
  const value = select(store.get());
  useEffect(() => {
    let last = value;
    const check = () => {
      const next = select(store.get());
      if (next !== last) {
        last = next;
        draw((n) => n + 1);
      }
    };
    check();
    return store.subscribe(check);
  }, [value]);
  return value;
}
