/** Whether something of ours runs in this folder already: then it is named, not started again. */
import { Effect } from "effect"
import { firstUp, isUp } from "../cluster/remote/firstUp.ts"
import * as Output from "./Output.ts"
import * as Place from "./Place.ts"
import { asHere } from "./started.ts"

export interface Given {
  readonly files: ReadonlyArray<string>
  readonly json: boolean
}

/** Says where it runs, if it lives and answers. */
export const attached = Effect.fnUntraced(function* (folder: string, given: Given) {
  const record = Place.readRecord(folder)
  if (record === undefined || record.pid === process.pid || !Place.isAlive(record.pid)) return false
  const url = yield* firstUp(record.urls)
  if (!(yield* isUp(url))) return false
  say(record, url, given)
  return true
})

const say = ({ pid, role }: Place.ServerRecord, url: string, { files, json }: Given) => {
  if (json) return Output.printJsonLine({ url, pid, role, isAttached: true })
  Output.print([
    `belfry ${role === "cluster" ? "cluster up" : role} runs here already, at ${url} ` +
    `(process ${pid}); commands in this folder find it.`,
    `  Try  ${asHere("belfry status")}`,
    ...(files.length === 0
      ? []
      : [`  To add your tasks to it: ${asHere(`belfry executor ${files.join(" ")}`)}`]),
  ].join("\n"))
}
