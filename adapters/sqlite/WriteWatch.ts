/**
 * Whether anybody writes to a file, as the system tells (`fs.watch`), and whether its word is good.
 *
 * 1. It tells of the next write once, and of no other before it is set again: so whoever writes much,
 *    here or elsewhere, is not told of each write.
 * 2. There are file systems that never tell, and none says that it does not. So nobody relies on it
 *    before it has told of a write that was found by a look as well; nor ever again once it has not,
 *    or another file has come in the place of this.
 */
import { type FSWatcher, statSync, watch } from "node:fs"

/** What a system knows of a file. */
export interface Files {
  readonly watch: (file: string) => Pick<FSWatcher, "on" | "close" | "unref">
  /** Which file it is, and when it was last written to. */
  readonly stat: (file: string) => { readonly ino: number; readonly mtimeMs: number }
}

export const files: Files = {
  watch: (file) => watch(file, { persistent: false }),
  stat: (file) => statSync(file),
}

/** Of what was found by a look it may tell a little later: Deno hears of it in another thread. */
const graceMillis = 100

export class WriteWatch {
  private readonly file: string
  private readonly told: () => void
  private readonly files: Files
  private watcher: ReturnType<Files["watch"]> | undefined
  private seen: ReturnType<Files["stat"]> | undefined
  private hasTold = false
  /** Since then there is a write that it has not told of. */
  private owedSince: number | undefined
  private isProven = false
  private isRefuted = false

  constructor(file: string, told: () => void, of: Files = files) {
    this.file = file
    this.told = told
    this.files = of
    this.isWritten()
  }

  /** Whether it is to tell of the next write. */
  get isSet(): boolean {
    return this.watcher !== undefined
  }

  /** Whether it is so certain to tell of the next write that nobody need look for it. */
  get isRelied(): boolean {
    return this.isSet && this.isProven && this.owedSince === undefined
  }

  /** Whether it is set now. */
  set(): boolean {
    this.unset()
    if (this.isRefuted) return false
    this.hasTold = false
    this.owedSince = undefined
    try {
      const watcher = this.files.watch(this.file)
      this.watcher = watcher
      watcher.on("change", () => watcher === this.watcher && this.tell())
      watcher.on("error", () => watcher === this.watcher && this.refute())
      // Deno needs to be told again that a process which is done need not stay for this.
      watcher.unref()
      // What was written before is not owed.
      this.isWritten()
    } catch {
      // There is no such file, or the system watches no more of them, or none of this sort.
      this.refute()
    }
    return this.isSet
  }

  unset(): void {
    this.watcher?.close()
    this.watcher = undefined
  }

  /** Whether there was a write since the last look, as `isFound` elsewhere, or as the file tells. */
  looked(now: number, isFound: boolean): boolean {
    const isWritten = this.isWritten() || isFound
    if (this.hasTold) this.isProven ||= isWritten
    else if (this.isSet && isWritten) this.owedSince ??= now
    if (this.owedSince !== undefined && now - this.owedSince >= graceMillis) this.refute()
    return isWritten
  }

  private isWritten(): boolean {
    if (this.isRefuted) return false
    try {
      const before = this.seen
      const now = this.seen = this.files.stat(this.file)
      if (before === undefined) return false
      if (now.ino !== before.ino) this.refute()
      return now.mtimeMs !== before.mtimeMs
    } catch {
      this.refute()
      return false
    }
  }

  private tell(): void {
    this.unset()
    this.hasTold = true
    if (this.owedSince !== undefined) this.isProven = true
    this.owedSince = undefined
    this.told()
  }

  /** It is not relied on, nor set, again. */
  private refute(): void {
    this.unset()
    this.isRefuted = true
    this.owedSince = undefined
    this.told()
  }
}
