/** The way to the servers, in the thread that beats for an executor: see `beats` of `layers.ts`. */
import { type Layer, Redacted } from "effect"
import type { Transport } from "../core/services/Transport.ts"
import { transport } from "./layers.ts"

/** What `layers.ts` names this module by. */
export type Url = string

/** An address as it goes to a thread, which takes nothing that is redacted. */
export interface Given {
  readonly urls: ReadonlyArray<string>
  readonly token: string
}

export default ({ token, urls }: Given): Layer.Layer<Transport> =>
  transport({ urls, token: Redacted.make(token) })
