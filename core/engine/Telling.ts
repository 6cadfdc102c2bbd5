/**
 * What the handler of one grant says, until it has been told.
 *
 * It is bounded at both ends. Of what waits to be told only so much is kept, and of all an attempt
 * says only so much is passed on; where lines are left out a mark stands, with their number. Of its
 * progress only the last word waits.
 */
import type { Fence } from "../domain/Lease.ts"
import * as LogLine from "../domain/LogLine.ts"
import type { LogLevel } from "../domain/LogLine.ts"
import type { Progress } from "../domain/Progress.ts"
import type { RunId } from "../domain/RunId.ts"
import { type Told, toldCharsMax, toldLinesMax } from "../services/LogStorage.ts"

/** What a run says goes out within this time, and that it has begun, if others may have to end it. */
export const tellMillis = 250

const waitingMax = 1000
const waitingCharsMax = 512 * 1024
const linesMax = 10_000
const charsMax = 4 * 1024 * 1024

interface Waiting extends Omit<LogLine.SaidLine, "agoMillis"> {
  readonly at: number
}

export class Telling {
  readonly run: RunId
  readonly fence: Fence
  private waiting: Array<Waiting> = []
  private waitingChars = 0
  private leftOut = 0
  /** Of those that were passed on. */
  private lines = 0
  private chars = 0
  private first = 1
  /** An attempt says no more than this. */
  private isSpent = false
  private isFinished = false
  private progress: Progress | undefined
  private sequence = 0
  /** Is told, and no answer has come. */
  private sent: Told | undefined

  constructor(run: RunId, fence: Fence) {
    this.run = run
    this.fence = fence
  }

  get isOver(): boolean {
    return this.sent === undefined && this.waiting.length === 0 && !this.isMarkDue &&
      this.progress === undefined
  }

  say(level: LogLevel, said: string, at: number): void {
    const text = said.length <= LogLine.textMax ? said : LogLine.cleaned(said)
    this.isSpent ||= this.lines >= linesMax || this.chars + text.length > charsMax
    const isFull = this.isSpent || this.waiting.length >= waitingMax ||
      this.waitingChars + text.length > waitingCharsMax
    if (isFull) {
      this.leftOut++
      return
    }
    this.mark(at)
    this.push({ level, text, at })
  }

  reached(progress: Progress): void {
    this.progress = progress
  }

  /** Nothing more is said. */
  finish(): void {
    this.isFinished = true
  }

  /** A part of what waits, unless one is under way. `at`: now, by the clock of `say`. */
  take(at: number): Told | undefined {
    if (this.sent !== undefined || this.isOver) return undefined
    if (this.waiting.length === 0) this.mark(at)
    let count = 0
    let chars = 0
    for (const { text } of this.waiting) {
      chars += text.length
      if (count === toldLinesMax || (count > 0 && chars > toldCharsMax)) break
      count++
    }
    const lines = this.waiting.splice(0, count).map(({ at: saidAt, ...line }) => ({
      ...line,
      agoMillis: Math.max(0, Math.round(at - saidAt)),
    }))
    for (const { text } of lines) this.waitingChars -= text.length
    this.sent = {
      run: this.run,
      fence: this.fence,
      first: this.first,
      lines,
      ...(this.progress !== undefined && {
        progress: { ...this.progress, sequence: ++this.sequence },
      }),
    }
    this.first += count
    this.progress = undefined
    return this.sent
  }

  /** What was taken has arrived, or nobody waits for that any more. */
  told(): void {
    this.sent = undefined
  }

  /** Where an attempt has said all it may, the mark is its last line. */
  private get isMarkDue(): boolean {
    return this.leftOut > 0 && (!this.isSpent || this.isFinished)
  }

  /** Stands where lines were left out: it goes before the next that is not. */
  private mark(at: number): void {
    if (!this.isMarkDue) return
    const why = this.isSpent
      ? `an attempt says at most ${linesMax} lines, and ${charsMax} characters`
      : "they came faster than they could be passed on"
    this.push({ ...LogLine.mark(this.leftOut, why), at })
    this.leftOut = 0
  }

  private push(line: Waiting): void {
    this.waiting.push(line)
    this.waitingChars += line.text.length
    this.lines++
    this.chars += line.text.length
  }
}
