/** The tokens that a server lets in. Only their digests are kept and compared. */
import { createHash, timingSafeEqual } from "node:crypto"
import { Context, Layer, Redacted } from "effect"

export class Tokens extends Context.Service<Tokens, {
  readonly has: (token: string) => boolean
}>()("belfry/cluster/api/Tokens") {
  static readonly layer = (
    tokens: ReadonlyArray<Redacted.Redacted<string>>,
  ): Layer.Layer<Tokens> =>
    Layer.sync(Tokens, () => {
      const known = tokens.map((token) => digest(Redacted.value(token)))
      return {
        has: (token) => {
          const shown = digest(token)
          // All are compared, and digests are of one length, so that time tells nothing.
          return known.reduce((found, each) => timingSafeEqual(each, shown) || found, false)
        },
      }
    })
}

const digest = (text: string) => createHash("sha256").update(text).digest()
