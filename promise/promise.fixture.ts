/** What the tests of promises wait for and look at. */

export const rejected = async (promise: Promise<unknown>): Promise<Record<string, unknown>> => {
  try {
    await promise
  } catch (cause) {
    return cause as Record<string, unknown>
  }
  throw new Error("it was not rejected")
}

export const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5))
}
