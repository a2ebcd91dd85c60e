/** The logos that a customer can choose from. */
export const LOGOS = ['lion', 'cat', 'turtle', 'rabbit', 'owl', 'fox', 'octopus', 'bee'];

/** The picture of a logo; the robot stands in for an unknown one. */
export const logoImage = (logo) => (LOGOS.includes(logo) ? `img/logos/${logo}.svg` : 'img/robot.svg');
