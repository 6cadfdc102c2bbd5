/** Commands as they can be copied: with what starts them where this one was started. */
import { existsSync } from "node:fs"
import { delimiter, dirname, join, relative, resolve } from "node:path"

export interface Where {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly folder: string
  /** The file that was started. */
  readonly entry: string | undefined
}

const here = (): Where => ({ env: process.env, folder: process.cwd(), entry: process.argv[1] })

const isIn = (folder: string) =>
  ["belfry", "belfry.cmd"].some((name) => existsSync(join(folder, name)))

/** `belfry`, where a shell finds it; else what finds it. */
export const word = ({ entry, env, folder }: Where): string => {
  // npm has put its folders on the path of this process, and not on that of the shell.
  const isOfNpm = env["npm_command"] !== undefined
  if (!isOfNpm && (env["PATH"] ?? "").split(delimiter).some((each) => each !== "" && isIn(each))) {
    return "belfry"
  }
  for (let at = resolve(folder);; at = dirname(at)) {
    if (isIn(join(at, "node_modules", ".bin"))) return "npx belfry"
    if (at === dirname(at)) break
  }
  return env["npm_command"] === "exec" || entry === undefined
    ? "npx belfry"
    : `node ${quoted(relative(folder, entry) || entry)}`
}

const quoted = (path: string) => /^[\w./\\:@-]+$/.test(path) ? path : `"${path}"`

let known: string | undefined

/** The command, and each that follows it, which are written with `belfry`. */
export const asHere = (command: string, where?: Where): string => {
  const first = where === undefined ? known ??= word(here()) : word(where)
  return command.replaceAll(/(^|&& )belfry(?= |$)/g, (_, before: string) => `${before}${first}`)
}
