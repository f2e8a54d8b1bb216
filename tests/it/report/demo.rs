//! The demo shop, over HTTP.

use std::net::SocketAddr;

use leadtrail::demo::{DemoSettings, serve};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::http::{get, send};

const HOST: &str = "localhost:8082";

async fn start() -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let settings = DemoSettings {
        edge_url: "http://127.0.0.1:8080".to_owned(),
        app_url: "http://127.0.0.1:8081".to_owned(),
        shop_url: "http://localhost:8082".to_owned(),
        mail_token: "TOKEN".to_owned(),
    };
    tokio::spawn(serve(listener, settings, stopped));
    (address, stop)
}

#[tokio::test]
async fn a_sale_has_one_order_number_however_often_its_page_is_loaded() {
    let (address, _stop) = start().await;
    let bought = get(address, HOST, "/buy?product=boots&lt=Click_Id-1").await;
    let page = bought.header("location").to_owned();
    assert_eq!(bought.status, 303);
    let order = page.split("order=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    assert!(order.starts_with("demo-") && order.len() == 21, "{page}");
    let pixel = format!(
        "src=\"http://127.0.0.1:8080/x.gif?goal=sale&amp;amount=129.00&amp;currency=EUR&amp;order={order}&amp;lt=Click_Id-1\""
    );
    for _ in 0..2 {
        assert!(get(address, HOST, &page).await.body.contains(&pixel), "{pixel}");
    }
    let again = get(address, HOST, "/buy?product=boots&lt=Click_Id-1").await;
    assert_ne!(again.header("location"), page, "another purchase is another order");
}

#[tokio::test]
async fn the_shop_s_pages_allow_images_and_forms_of_the_edge_and_nothing_else() {
    let (address, _stop) = start().await;
    for path in ["/", "/mail", "/shoes", "/boots", "/contact", "/thank-you", "/thanks"] {
        let page = get(address, HOST, path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(
            page.header("content-security-policy"),
            "default-src 'none'; style-src 'self'; img-src http://127.0.0.1:8080; form-action 'self' \
             http://127.0.0.1:8080; base-uri 'none'; frame-ancestors 'none'",
            "{path}"
        );
        assert!(
            page.body.contains("href=\"http://127.0.0.1:8081\""),
            "{path} leads to the reports"
        );
    }
    assert_eq!(get(address, HOST, "/none").await.status, 404);
    let post = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(send(address, &post).await.status, 405);
}

#[tokio::test]
async fn the_landing_page_hands_its_click_id_to_form_and_shop() {
    let (address, _stop) = start().await;
    let page = get(address, HOST, "/shoes?utm_campaign=spring&lt=Click_Id-1").await;
    assert!(page.body.contains("<input type=\"hidden\" name=\"lt\" value=\"Click_Id-1\">"));
    assert!(page.body.contains("href=\"/buy?product=spring-shoes&amp;lt=Click_Id-1\""));
    assert!(page.body.contains("69.90 EUR"));
    let page = get(address, HOST, "/shoes?lt=%22%3E%3Cb%3E").await;
    assert!(!page.body.contains("<b>") && !page.body.contains("name=\"lt\""), "{}", page.body);
}
