import css from "./Brand.module.css";

export function Brand() {
  return (
    <span className={css.brand}>
      <svg viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">
        <rect width="24" height="24" rx="6" className={css.plate} />
        <path
          d="M12 5a4.2 4.2 0 0 1 1.7 8.04V19h-3.4v-5.96A4.2 4.2 0 0 1 12 5Z"
          className={css.hole}
        />
      </svg>
      Keyway
    </span>
  );
}
