/** Of which version of its task a payload says it is: whose code has stored it. */

/** In an object that is stored, which version it is of. Without it, it is of the first. */
export const key = "$version"

/** The version that a stored payload says it is of, and the payload without it. */
export const read = (
  stored: unknown,
): { readonly version: number; readonly payload: unknown } => {
  if (typeof stored !== "object" || stored === null || !Object.hasOwn(stored, key)) {
    return { version: 1, payload: stored }
  }
  const { [key]: version, ...payload } = stored as Record<string, unknown>
  return Number.isInteger(version) && (version as number) >= 1
    ? { version: version as number, payload }
    : { version: 1, payload: stored }
}

/** Whether a payload may say of which version it is, told by its JSON text alone: most do not. */
export const isNamed = (text: string): boolean => text.includes(key) || text.includes("\\u")
