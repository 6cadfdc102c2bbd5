/** What an executor offers to runs, as JSON. */
export const executorResources = `
ALTER TABLE executor ADD COLUMN resources TEXT NOT NULL DEFAULT '{}';
`
