/** Returns what supabase-js was answered. @throws where that is an error */
export function orThrow<T>({ data, error }: { data: T; error: { message: string } | null }): T {
  if (error !== null) throw new Error(error.message);
  return data;
}
