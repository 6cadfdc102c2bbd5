/** The way of a thread that beats to the server of its executor, for tests. */
import { Redacted } from "effect"
import { RpcTransport } from "../rpc/mod.ts"

export default ({ token, url }: { readonly token: string; readonly url: string }) =>
  RpcTransport.layer({ url, token: Redacted.make(token) })
