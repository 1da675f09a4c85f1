/** An entity as this player sees it: its components by name. */
export type Entity<C = Record<string, any>> = { readonly id: number } & { readonly [K in keyof C]?: C[K] };

/** What a game's author may declare to have names and values checked: `join<MyGame>()`. */
export interface Game {
  resources: object;
  components: object;
  inputs: object;
  actions: object;
  events: object;
}

/** A game of which nothing is declared: every name goes, every value is `any`. */
export interface AnyGame extends Game {
  resources: Record<string, any>;
  components: Record<string, any>;
  inputs: Record<string, any>;
  actions: Record<string, any>;
  events: Record<string, any>;
}

/** The component that every player's entity has, whatever the game. */
export interface Players {
  Player: { seat: number; name: string; connected: boolean };
}

export type Type =
  | { kind: "unit" | "bool" | "entity" }
  /** A quaternion: x, y, z, w. */
  | { kind: "rotation" }
  | { kind: "int"; min: number; max: number }
  /** Without a range where it is lossless. */
  | { kind: "float"; min?: number; max?: number; step?: number }
  /** At most `max` bytes of UTF-8. */
  | { kind: "string"; max: number }
  | { kind: "option"; of: Type }
  | { kind: "list"; of: Type; max: number }
  | { kind: "array"; of: Type; length: number }
  | { kind: "tuple"; items: Type[] }
  | { kind: "struct"; fields: Named[] }
  | { kind: "enum"; variants: Named[] };

export interface Named {
  name: string;
  type: Type;
}

export interface Schema {
  game: string;
  kind: "turn_based" | "realtime";
  components: (Named & { resource: boolean })[];
  inputs: Named[];
  actions: Named[];
  events: Named[];
}

export type Status = "connecting" | "open" | "reconnecting" | "closed";

export interface JoinOptions {
  /** The game; the page's own where it is not said. */
  game?: string;
  /** The match; the page's own where it is not said. */
  match?: string;
  /** The player's name. */
  name?: string;
  /** Parameters for a room that does not exist yet. */
  params?: object;
  /** Only watch: take no seat. */
  watch?: boolean;
}

/** What the client throws: `code` for programs, `message` for people. */
export class RefereeError extends Error {
  readonly code: string;
  constructor(code: string, message: string);
}

/** What the client has measured. Times are in milliseconds, margins in ticks. */
export interface Metrics {
  /** The smoothed time to the server and back. */
  readonly ping: number | null;
  /** The shortest time to the server and back. */
  readonly pingMin: number | null;
  /** How many states came. */
  readonly states: number;
  /** How far the arrivals of states are strewn behind the earliest. */
  readonly jitter: number;
  /** How far what `onFrame` shows lies behind the newest state's arrival. */
  readonly delay: number;
  /**
   * How many ticks before it was needed the last sample of an input came in of which the room has
   * told: 0 in good time, more: too early, negative: too late.
   */
  readonly inputMargin: number | null;
  /** The same, smoothed. */
  readonly inputMarginSmooth: number | null;
  /** How many samples were sent. */
  readonly inputs: number;
  /** How many of those that the room told of came too late. */
  readonly inputsLate: number;
  /** How many of those that the room told of came more than a tick too early. */
  readonly inputsEarly: number;
  /** How far ahead of the states' arrival inputs are stamped. */
  readonly inputLead: number;
}

type Name<T> = keyof T & string;
/** A value that a type without data (`null`) may leave out. */
type Data<T> = null extends T ? [value?: T] : [value: T];

/** What is seen at one moment. The entities and values in it are for reading. */
export interface View<G extends Game = AnyGame> {
  /** The player's own entity. */
  readonly me: Entity<G["components"] & Players> | null;
  readonly tick: number;
  /**
   * The value of a resource; `undefined` when the room does not show it to this player. Throws a
   * `RefereeError` (`unknown_type`) that names what there is, when the game has none of that name.
   */
  get<K extends Name<G["resources"]>>(resource: K): G["resources"][K];
  /** The entities that have all of these components. Throws as `get` does. */
  entities<K extends Name<G["components"] & Players>>(
    ...components: K[]
  ): (Entity<G["components"] & Players> & Required<Pick<Entity<G["components"] & Players>, K>>)[];
  entity(id: number): Entity<G["components"] & Players> | undefined;
}

/** A match as one player sees it. It connects again by itself and keeps its seat. */
export interface Room<G extends Game = AnyGame> extends View<G> {
  readonly game: string;
  readonly match: string;
  readonly status: Status;
  /** Why it is closed or without a connection. */
  readonly reason: { readonly code: string; readonly message: string } | null;
  /** `null` for a spectator. */
  readonly seat: number | null;
  /** The time to the server and back, in milliseconds. */
  readonly ping: number | null;
  /** What was measured so far. */
  readonly metrics: Metrics;
  readonly schema: Schema;
  /** `null` until the match has ended. */
  readonly result: any;
  /** Calls back after each state, and at once if there is one already. Returns what stops it. */
  onChange(callback: () => void): () => void;
  /**
   * Calls back for each picture the browser draws, while there is state, with what is to be seen in
   * it. Returns what stops it.
   *
   * In a realtime room that is a moment a little behind the newest state (`metrics.delay`), so that
   * all moves evenly between states: numbers with a fraction go straight from state to state,
   * angles the short way round, and everything else is as in the older of the two states.
   * Entities come and go at their time; what jumps much further than things move does not slide.
   * `frame.tick` has a fraction. In a turn-based room it is the newest state. Read `frame` in the
   * callback: the next picture changes it.
   */
  onFrame(callback: (frame: View<G>) => void): () => void;
  /** Calls back for each event of this type, after the state it belongs to. Throws as `get` does. */
  onEvent<K extends Name<G["events"]>>(
    name: K,
    callback: (event: G["events"][K], tick: number) => void,
  ): () => void;
  /**
   * Calls back for each entity that is seen no more, when the state without it is there. `gone` says
   * that it was taken away before the player's eyes; else it is out of sight, and whether it lives on
   * there is not told. Its id is not used again: what comes back into sight has another one.
   */
  onLeave(callback: (id: number, gone: boolean) => void): () => void;
  onStatus(callback: (status: Status) => void): () => void;
  /** Does an action, exactly once. Throws a `RefereeError` when the value does not fit. */
  send<K extends Name<G["actions"]>>(action: K, ...value: Data<G["actions"][K]>): void;
  /** Sets an input; it holds until it is set anew. */
  input<K extends Name<G["inputs"]>>(input: K, value: G["inputs"][K]): void;
  /** Gives up the seat. */
  leave(): void;
}

/**
 * Joins a match and resolves when its first state is there; rejects with a `RefereeError` when
 * refused for good. Where nothing else is said, it is the match this page is for.
 */
export function join<G extends Game = AnyGame>(
  url?: string | URL,
  options?: JoinOptions,
): Promise<Room<G>>;
export function join<G extends Game = AnyGame>(options: JoinOptions): Promise<Room<G>>;
