/**
 * What happens, and how it goes. On a terminal the latter stays in place below the former; elsewhere
 * both are lines, and a state that has not changed is not repeated.
 */
import * as Output from "./Output.ts"

export class LiveView {
  readonly #isJson: boolean
  readonly #isLive: boolean
  #shown: ReadonlyArray<string> = []
  #lastState = ""

  constructor(isJson: boolean) {
    this.#isJson = isJson
    this.#isLive = !isJson && Output.isTerminal()
  }

  /** Something happened. */
  say(event: string, words: string, data: Readonly<Record<string, unknown>> = {}) {
    const at = new Date()
    if (this.#isJson) {
      return Output.printJsonLine({ at: at.toISOString(), event, words, ...data })
    }
    this.#above(
      `${Output.style("dim", at.toTimeString().slice(0, 8))}  ${event.padEnd(9)}${words}`,
    )
  }

  /** A line of a process of ours. */
  log(name: string, line: string) {
    if (this.#isJson) {
      return Output.printJsonLine({ at: new Date().toISOString(), event: "log", name, words: line })
    }
    this.#above(`${Output.style("dim", `${name.padEnd(13)}|`)} ${line}`)
  }

  /** How it goes now. */
  show(text: string, state: unknown) {
    const key = JSON.stringify(state)
    const hasChanged = key !== this.#lastState
    this.#lastState = key
    if (this.#isJson) {
      if (hasChanged) {
        Output.printJsonLine({ at: new Date().toISOString(), event: "status", runs: state })
      }
      return
    }
    if (!this.#isLive) {
      if (hasChanged) Output.print(text.split("\n").at(-1) ?? "")
      return
    }
    this.#clear()
    this.#shown = ["", ...text.split("\n")]
    Output.print(this.#shown.join("\n"))
  }

  /** How it goes no longer matters. */
  hide() {
    this.#clear()
    this.#shown = []
  }

  #above(line: string) {
    this.#clear()
    Output.print(line)
    if (this.#shown.length > 0) Output.print(this.#shown.join("\n"))
  }

  #clear() {
    if (this.#isLive && this.#shown.length > 0) {
      process.stdout.write(`\u001b[${this.#shown.length}A\u001b[J`)
    }
  }
}
