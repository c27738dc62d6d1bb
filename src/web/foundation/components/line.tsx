import type { PartialInputHTMLAttributes } from 'preact';

/** What a line to type in may be for; browsers offer keyboards and pickers by it. */
export type LineType = 'text' | 'email' | 'search' | 'number' | 'date' | 'month' | 'url' | 'password';

/** The attributes of an input, but those that depend on its type. */
export type LineAttributes = Omit<PartialInputHTMLAttributes<HTMLInputElement>, 'type' | 'role' | 'list'>;

/** Shows the bare input of a field: the types of the library tie some attributes to a type that is written out. */
export function Line({ type, ...attributes }: LineAttributes & { readonly type: LineType }) {
  switch (type) {
    case 'email':
      return <input {...attributes} type="email" />;
    case 'search':
      return <input {...attributes} type="search" />;
    case 'number':
      return <input {...attributes} type="number" />;
    case 'date':
      return <input {...attributes} type="date" />;
    case 'month':
      return <input {...attributes} type="month" />;
    case 'url':
      return <input {...attributes} type="url" />;
    case 'password':
      return <input {...attributes} type="password" />;
    case 'text':
      return <input {...attributes} type="text" />;
  }
}
